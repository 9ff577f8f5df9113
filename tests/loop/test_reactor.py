"""Proves what `Reactor` does besides dispatching: calls, timers, stopping, signals, threads, forks."""

import contextlib
import math
import os
import selectors
import signal
import socket
import socketserver
import threading

import pytest

import reactor as public
from reactor import (
    EVENT_READ,
    AsyncStreamRequestHandler,
    EventHandler,
    Exactly,
    Limits,
    Line,
    Reactor,
    ReactorTCPServer,
    ReactorUDPServer,
    StateRequestHandler,
)
from tests.support.clock import ManualClock
from tests.support.pairs import House
from tests.support.selecting import RecordingSelector, ScriptedSelector


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def selector(clock):
    return ScriptedSelector(clock)


@pytest.fixture
def scripted(selector, clock):
    """A reactor whose waits pass at once, on a clock that they move."""
    with Reactor(selector, clock=clock) as reactor:
        yield reactor


@pytest.fixture
def waits(selector):
    """How long each wait of `scripted` was to last."""
    return selector.waits


@pytest.fixture
def house():
    with House() as house:
        yield house


@pytest.fixture
def own_signals():
    """Whatever a test does to these signals is undone."""
    numbers = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


class Echo(StateRequestHandler):
    def start(self):
        self.expect(Line(), self.line)

    def line(self, line):
        self.write(line)


# Construction


@pytest.mark.parametrize("wrong", [{"selector": 5}, {"selector": selectors.DefaultSelector}, {"clock": 5}])
def test_a_wrong_argument_fails_where_it_is_passed(wrong):
    with pytest.raises(TypeError, match="takes"):
        Reactor(**wrong)


def test_an_executor_that_is_none_is_a_type_error():
    with pytest.raises(TypeError, match=r"concurrent\.futures\.Executor"):
        Reactor(executor=5)


def test_a_reactor_takes_and_gives_back_its_descriptors():
    before = set(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None
    selector = RecordingSelector()
    with Reactor(selector) as reactor:
        assert not selector.closed
        reactor.handle_events(0)
    assert selector.closed
    if before is not None:
        assert set(os.listdir("/proc/self/fd")) == before


# call_soon and its kin


def test_call_soon_keeps_order_and_a_call_from_a_call_comes_with_the_next_turn(scripted, waits):
    heard = []

    def first():
        heard.append("first")
        scripted.call_soon(heard.append, "from first")

    scripted.call_soon(first)
    scripted.call_soon(heard.append, "second")
    scripted.handle_events(0)
    assert heard == ["first", "second"]
    scripted.handle_events()
    assert heard == ["first", "second", "from first"]
    assert waits == [0, 0]  # no wait with something to do


def test_a_call_that_raises_is_logged_and_the_next_is_made(scripted, caplog):
    heard = []
    scripted.call_soon(lambda: 1 / 0)
    scripted.call_soon(heard.append, "next")
    scripted.handle_events(0)
    assert heard == ["next"]
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "ZeroDivisionError" in caplog.text


class Owner(EventHandler):
    """A handler with a callback that fails, as a method, with arguments, ..."""

    def __init__(self):
        self.heard = []

    def fileno(self):
        return -1

    def fail(self, *args):
        raise ZeroDivisionError

    def handle_exception(self, exc):
        self.heard.append(type(exc))

    def close(self):
        self.heard.append("close")


@pytest.mark.parametrize("way", ["call_soon", "call_soon_threadsafe", "call_later", "call_every"])
def test_what_a_handlers_own_callback_raises_comes_to_its_handle_exception(scripted, clock, way):
    owner = Owner()
    args = (1,) if way in ("call_later", "call_every") else ()
    getattr(scripted, way)(*args, owner.fail)
    clock.advance(1)
    scripted.handle_events(0)
    assert owner.heard == [ZeroDivisionError]


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("way", ["soon", "timer"])
def test_an_interrupt_in_a_call_passes_and_loses_no_other_call(scripted, clock, interrupt, way):
    heard = []

    def interrupted():
        raise interrupt

    later = scripted.call_soon if way == "soon" else lambda *call: scripted.call_later(1, *call)
    later(heard.append, "before")
    later(interrupted)
    later(heard.append, "after")
    clock.advance(1)
    with pytest.raises(interrupt):
        scripted.handle_events(0)
    assert heard == ["before"]
    scripted.handle_events(0)
    assert heard == ["before", "after"]


def test_calls_from_many_threads_all_arrive_in_their_threads_order():
    heard = []
    with Reactor() as reactor:

        def call(name):
            for number in range(100):
                reactor.call_soon_threadsafe(heard.append, (name, number))
            reactor.call_soon_threadsafe(done.append, name)

        done = []
        threads = [threading.Thread(target=call, args=(name,)) for name in range(8)]
        for thread in threads:
            thread.start()
        while len(done) < len(threads):
            reactor.handle_events()
        for thread in threads:
            thread.join()
    assert len(heard) == 800
    for name in range(8):
        assert [number for each, number in heard if each == name] == list(range(100))


# Timers


def test_the_wait_ends_with_the_next_timer_and_no_timer_is_early(scripted, waits, clock):
    heard = []
    begun = clock()
    scripted.call_later(5, lambda: heard.append(clock() - begun))
    scripted.call_later(2, lambda: heard.append(clock() - begun))
    scripted.call_at(begun + 3, lambda: heard.append(clock() - begun))
    for _ in range(3):
        scripted.handle_events()
    assert waits == [2, 1, 2]
    assert heard == [2, 3, 5]


def test_a_timer_is_not_called_before_its_time_and_called_when_it_has_come(scripted, clock):
    heard = []
    timer = scripted.call_later(5, heard.append, "due")
    clock.now = math.nextafter(timer.when, 0)
    scripted.handle_events(0)
    assert heard == [] and timer.active
    clock.now = timer.when
    scripted.handle_events(0)
    assert heard == ["due"] and not timer.active


def test_a_timer_is_not_called_with_another_that_is_due_a_moment_before_it(scripted, clock):
    heard = []
    first = scripted.call_later(5, heard.append, "first")
    scripted.call_at(math.nextafter(first.when, math.inf), heard.append, "second")
    clock.now = first.when
    scripted.handle_events(0)
    assert heard == ["first"]
    clock.advance(1)
    scripted.handle_events(0)
    assert heard == ["first", "second"]


def test_the_wait_is_what_the_last_turn_has_left_of_it(scripted, waits, clock):
    scripted.call_later(5, print)
    scripted.call_soon(clock.advance, 3)  # a turn that takes long
    scripted.handle_events()
    scripted.handle_events(0.5)
    scripted.handle_events()
    assert waits == [0, 0.5, 1.5]


def test_a_wait_is_never_negative_and_never_more_than_asked_for(scripted, waits, clock):
    scripted.call_later(1, print)
    clock.advance(10)
    scripted.handle_events()
    scripted.call_later(100, print)
    scripted.handle_events(7)
    assert waits == [0, 7]


def test_without_a_timer_the_wait_is_long_but_one_that_every_selector_can_bear(scripted, waits):
    scripted.handle_events()
    (wait,) = waits
    assert 3600 <= wait <= 2**31 / 1000


def test_timers_of_one_time_keep_their_order_and_a_cancelled_one_is_not_called(scripted, clock):
    heard = []
    timers = [scripted.call_later(1, heard.append, number) for number in range(5)]
    timers[1].cancel()
    scripted.call_later(0.5, timers[3].cancel)
    scripted.call_later(1, timers[4].cancel)  # comes after it, in vain
    clock.advance(1)
    scripted.handle_events(0)
    assert heard == [0, 2, 4]


def test_a_timer_may_cancel_one_that_is_due_in_the_same_turn(scripted, clock):
    heard = []
    scripted.call_later(1, lambda: victim.cancel())
    victim = scripted.call_later(1, heard.append, "victim")
    clock.advance(2)
    scripted.handle_events(0)
    assert heard == []


def test_a_timer_that_asks_for_another_at_once_cannot_hold_up_the_turn(scripted):
    heard = []

    def again():
        heard.append("called")
        scripted.call_later(0, again)

    scripted.call_later(0, again)
    scripted.handle_events(0)
    assert heard == ["called"]
    scripted.handle_events(0)
    assert heard == ["called"] * 2


def test_call_every_keeps_its_grid_skips_what_was_missed_and_ends_when_cancelled(scripted, clock):
    begun, heard = clock(), []
    timer = scripted.call_every(10, lambda: heard.append(clock() - begun))
    for seconds in (9, 1, 13, 7, 25, 5):  # at 9, 10, 23, 30, 55, 60
        clock.advance(seconds)
        scripted.handle_events(0)
    assert heard == [10, 23, 30, 55, 60]
    timer.cancel()
    clock.advance(100)
    scripted.handle_events(0)
    assert len(heard) == 5


def test_call_every_goes_on_after_an_error_and_can_be_cancelled_from_inside(scripted, clock, caplog):
    heard = []

    def call():
        heard.append(len(heard))
        if len(heard) == 1:
            raise ZeroDivisionError
        if len(heard) == 3:
            timer.cancel()

    timer = scripted.call_every(1, call)
    for _ in range(5):
        clock.advance(1)
        scripted.handle_events(0)
    assert heard == [0, 1, 2]


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_call_every_goes_on_after_an_interrupt(scripted, clock, interrupt):
    heard = []

    def call():
        heard.append(len(heard))
        if len(heard) == 1:
            raise interrupt

    scripted.call_every(1, call)
    clock.advance(1)
    with pytest.raises(interrupt):
        scripted.handle_events(0)
    for _ in range(3):
        clock.advance(1)
        scripted.handle_events(0)
    assert heard == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        ("call_later", -1),
        ("call_later", math.nan),
        ("call_at", math.nan),
        ("call_every", 0),
        ("call_every", -1),
        ("call_every", math.nan),
        ("call_every", math.inf),
    ],
)
def test_a_time_that_is_none_is_a_value_error(scripted, call, argument):
    with pytest.raises(ValueError):
        getattr(scripted, call)(argument, print)


def test_now_is_read_once_a_turn(scripted, clock):
    seen = []
    scripted.call_soon(lambda: (seen.append(scripted.now), clock.advance(5), seen.append(scripted.now)))
    clock.advance(1)
    scripted.handle_events(0)
    assert seen == [clock() - 5] * 2


# Stopping and running again


def test_stop_before_run_makes_the_next_run_return_and_only_that_one(scripted):
    heard = []
    scripted.stop()
    scripted.call_soon(heard.append, "called")
    scripted.run()
    assert heard == []
    scripted.call_soon(scripted.stop)
    scripted.run()
    assert heard == ["called"]


def test_stop_from_a_handler_ends_run_after_the_turn(scripted):
    heard = []
    scripted.call_soon(scripted.stop)
    scripted.call_soon(heard.append, "same turn")
    scripted.run()
    assert heard == ["same turn"]


@pytest.mark.parametrize("rounds", [1, 3])
def test_stop_from_another_thread_ends_the_wait_and_run_may_be_called_again(rounds):
    with Reactor() as reactor:
        for _ in range(rounds):
            running = threading.Event()
            reactor.call_soon(running.set)
            thread = threading.Thread(target=lambda event=running: (event.wait(), reactor.stop()))
            thread.start()
            reactor.run()  # without a timer it would wait for a day
            thread.join()
            assert reactor.thread is None


def test_stop_from_a_signal_handler_ends_the_wait(own_signals):
    with Reactor() as reactor:
        signal.signal(signal.SIGUSR1, lambda signum, frame: reactor.stop())
        reactor.call_soon(signal.raise_signal, signal.SIGUSR1)
        reactor.run()
        thread = threading.Thread(target=lambda: os.kill(os.getpid(), signal.SIGUSR1))
        reactor.call_soon(thread.start)
        reactor.run()
        thread.join()
        assert reactor.thread is None


def test_run_inside_run_and_close_inside_run_are_runtime_errors(scripted):
    errors = []

    def attempt(call):
        try:
            call()
        except RuntimeError as exc:
            errors.append(str(exc))

    scripted.call_soon(attempt, scripted.run)
    scripted.call_soon(attempt, scripted.close)
    scripted.call_soon(scripted.stop)
    scripted.run()
    assert len(errors) == 2
    assert "running already" in errors[0] and "stop() it first" in errors[1]


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_leaves_run_and_run_goes_on_after(scripted, interrupt):
    def interrupted():
        raise interrupt

    heard = []
    scripted.call_soon(interrupted)
    scripted.call_soon(heard.append, "after")
    scripted.call_soon(scripted.stop)
    with pytest.raises(interrupt):
        scripted.run()
    assert scripted.thread is None
    scripted.run()
    assert heard == ["after"]


def test_a_program_with_a_loop_of_its_own_takes_turns_itself(scripted, waits):
    scripted.call_later(3, print)
    assert scripted.handle_events(1) == 0
    assert waits == [1]


def test_leaving_the_with_closes_servers_connections_and_the_pool():
    with Reactor() as reactor:
        server = ReactorTCPServer(("127.0.0.1", 0), Echo)
        reactor.register(server)
        with socket.create_connection(server.server_address) as client:
            while not reactor.requests:
                reactor.handle_events(5)
            (row,) = reactor.requests
            results = []
            reactor.offload(threading.current_thread, then=results.append)
            while not results:
                reactor.handle_events(5)
            reactor.close()
            assert client.recv(1) == b""
    assert server.socket.fileno() == -1
    assert row.socket.fileno() == -1
    assert not results[0].result().is_alive()
    assert len(reactor.requests) == 0


# Servers


class Slow(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(self.rfile.readline().upper())


@pytest.mark.parametrize("module", [public, socketserver], ids=["ours", "standard"])
def test_a_plain_tcp_server_is_registered_only_with_may_block(module):
    with Reactor() as reactor, module.TCPServer(("127.0.0.1", 0), Slow) as server:
        with pytest.raises(ValueError, match="may_block=True"):
            reactor.register(server)
        assert server.socket.getblocking()
        reactor.register(server, may_block=True)
        with socket.create_connection(server.server_address) as client:
            client.sendall(b"hello\n")
            reactor.handle_events(5)
            assert client.makefile("rb").read() == b"HELLO\n"


@pytest.mark.parametrize("module", [public, socketserver], ids=["ours", "standard"])
@pytest.mark.parametrize("kind", ["ThreadingTCPServer", "UDPServer"])
def test_a_server_that_holds_up_nobody_needs_no_may_block(module, kind):
    with Reactor() as reactor, getattr(module, kind)(("127.0.0.1", 0), Slow) as server:
        reactor.register(server)
        assert not server.socket.getblocking()


def test_shutdown_of_a_registered_server_unregisters_that_server_only():
    heard = []
    with Reactor() as reactor:
        servers = [ReactorTCPServer(("127.0.0.1", 0), Echo) for _ in range(2)]
        for server in servers:
            reactor.register(server)
        servers[0].shutdown()
        reactor.call_later(0, heard.append, "still turning")
        reactor.handle_events(0)
        reactor.handle_events(0)
        assert heard == ["still turning"]
        with socket.create_connection(servers[1].server_address) as client:
            client.sendall(b"hello\n")
            client.shutdown(socket.SHUT_WR)
            while not reactor.requests:
                reactor.handle_events(5)
            while reactor.requests:
                reactor.handle_events(5)
            assert client.makefile("rb").read() == b"hello\n"
        with socket.create_connection(servers[0].server_address):
            assert reactor.handle_events(0) == 0
        servers[0].server_close()


# Signals


def test_on_signal_calls_in_the_loop_and_close_puts_back_what_was_before(own_signals):
    heard = []

    def before(signum, frame):
        heard.append("before")

    signal.signal(signal.SIGUSR1, before)
    with Reactor() as reactor:
        reactor.on_signal(signal.SIGUSR1, heard.append, "first")
        reactor.on_signal(signal.SIGUSR1, heard.append, "second")
        signal.raise_signal(signal.SIGUSR1)
        assert heard == []  # not in the signal handler
        reactor.handle_events(0)
        assert heard == ["second"]
    assert signal.getsignal(signal.SIGUSR1) is before
    signal.raise_signal(signal.SIGUSR1)
    assert heard == ["second", "before"]


def test_a_signal_ends_the_wait_of_run(own_signals):
    with Reactor() as reactor:
        reactor.on_signal(signal.SIGUSR1, reactor.stop)
        thread = threading.Thread(target=lambda: os.kill(os.getpid(), signal.SIGUSR1))
        reactor.call_soon(thread.start)
        reactor.run()
        thread.join()
        assert reactor.thread is None


@pytest.mark.parametrize("ending", ["stop", "interrupt"])
def test_the_wake_up_descriptor_is_ours_while_running_and_given_back(scripted, ending):
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        before = signal.set_wakeup_fd(ours.fileno())
        try:
            seen = []

            def look():
                seen.append(signal.set_wakeup_fd(-1))
                signal.set_wakeup_fd(seen[0], warn_on_full_buffer=False)
                if ending == "interrupt":
                    raise KeyboardInterrupt
                scripted.stop()

            scripted.call_soon(look)
            with pytest.raises(KeyboardInterrupt) if ending == "interrupt" else contextlib.nullcontext():
                scripted.run()
            assert seen != [ours.fileno()] and seen != [-1]
            assert signal.set_wakeup_fd(before) == ours.fileno()
        finally:
            signal.set_wakeup_fd(before)


def test_signals_belong_to_the_main_thread(scripted):
    errors = []

    def attempt():
        for call in (
            lambda: scripted.on_signal(signal.SIGUSR1, print),
            lambda: scripted.drain_on(signal.SIGTERM),
        ):
            try:
                call()
            except ValueError as exc:
                errors.append(str(exc))

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()
    assert ["main thread" in text for text in errors] == [True, True]


def test_a_reactor_runs_in_any_thread():
    heard = []

    def run():
        with Reactor() as reactor:
            reactor.call_soon(heard.append, reactor.thread)
            reactor.call_soon(reactor.stop)
            reactor.run()

    before = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(before)
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert heard == [None]
    assert signal.set_wakeup_fd(before) == before


def test_drain_on_nothing_is_a_type_error_that_names_an_example(scripted):
    with pytest.raises(TypeError, match=r"signal\.SIGTERM"):
        scripted.drain_on()


# Draining


class Body(StateRequestHandler):
    """A request of a line and ten bytes; the answer is the body, or 100,000 of it for ``big``."""

    def start(self):
        self.expect(Line(), self.head)

    def head(self, line):
        self.size = 100_000 if line == b"big\n" else 1
        if line == b"held\n":
            self.hold()
        else:
            self.expect(Exactly(10), self.body)

    def body(self, data):
        self.write(data * self.size)

    def answer(self):
        self.write(b"answered")
        self.release()


def test_draining_closes_the_idle_finishes_the_partial_with_whole_replies_and_then_stops(house):
    idle, idle_peer = house.connect(Body)
    assert house.ask(idle_peer, b"line\n0123456789") == b"0123456789"
    _, half_peer = house.connect(Body)
    house.ask(half_peer, b"big\n01234")
    held, held_peer = house.connect(Body)
    house.ask(held_peer, b"held\n")
    house.reactor.drain()
    house.settle()
    assert idle_peer.read() == b"" and idle_peer.eof
    assert [half_peer.read(), held_peer.read()] == [b"", b""]
    assert not half_peer.eof and not held_peer.eof
    assert idle.state is public.RequestState.CLOSING
    idle_peer.close()
    house.settle()
    assert len(house.reactor.requests) == 2

    held.answer()
    house.settle()
    assert held_peer.read() == b"answered" and held_peer.eof
    held_peer.close()
    half_peer.send(b"56789")
    house.turn(3)
    assert house.reactor.requests  # it has far more to send than the kernel takes
    reply = b""
    while not half_peer.eof:
        reply += half_peer.read()
        house.turn()
    assert reply == b"0123456789" * 100_000
    half_peer.close()
    house.reactor.run()  # complete: returns
    assert not house.reactor.requests
    assert any("2 partial requests" in line for line in house.lines(level=20))


def test_a_connection_is_closed_after_the_request_during_which_draining_began(house):
    _, peer = house.connect(Body)
    house.ask(peer, b"line\n01234")
    house.reactor.drain()
    house.turn()
    assert house.ask(peer, b"56789") == b"0123456789"
    assert peer.eof


def test_run_returns_when_draining_finds_nothing_to_wait_for(house):
    house.reactor.drain()
    house.reactor.drain()  # changes nothing
    house.reactor.run()
    assert not house.reactor.requests


def test_run_returns_when_the_last_partial_request_ends(house):
    house.connect(Body)
    handler, peer = house.connect(Body)
    house.ask(peer, b"held\n")
    house.reactor.drain()
    house.reactor.call_later(1, handler.answer)
    house.reactor.call_later(2, peer.close)
    house.clock.advance(3)
    house.reactor.run()
    assert not house.reactor.requests and not house.lines()


def test_draining_that_takes_too_long_is_cut_and_the_log_counts_what_was_lost():
    with House(Limits(drain_timeout=10)) as house:
        for count, request in ((2, b"line\n01234"), (1, b"held\n")):
            for _ in range(count):
                _, peer = house.connect(Body)
                house.ask(peer, request)
        house.reactor.drain()
        house.turn()
        house.advance(9)
        assert len(house.reactor.requests) == 3
        house.clock.advance(1)
        with pytest.raises(SystemExit) as raised:
            house.reactor.run()
        assert raised.value.code == 1
        assert not house.reactor.requests
        (line,) = [line for line in house.lines() if "draining" in line]
        assert "drain_timeout" in line and "3 partial requests lost" in line


def test_the_first_signal_drains_and_the_second_cuts(house, own_signals):
    house.reactor.drain_on(signal.SIGTERM, signal.SIGUSR2)
    _, peer = house.connect(Body)
    house.ask(peer, b"held\n")
    signal.raise_signal(signal.SIGTERM)
    house.turn()
    assert len(house.reactor.requests) == 1
    house.reactor.call_soon(signal.raise_signal, signal.SIGUSR2)
    with pytest.raises(SystemExit) as raised:
        house.reactor.run()
    assert raised.value.code == 1
    (line,) = [line for line in house.lines() if "draining" in line]
    assert "second signal" in line and "1 partial requests lost" in line


def test_draining_stops_accepting_and_refuses_newcomers_at_once():
    with Reactor() as reactor:
        server = ReactorTCPServer(("127.0.0.1", 0), Echo)
        reactor.register(server)
        reactor.drain()
        reactor.run()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(server.server_address)


def test_a_connection_that_was_accepted_but_not_opened_is_closed_unopened(house):
    opened = []

    class Handler(Echo):
        def setup(self):
            opened.append(self)

    house.reactor.drain()
    _, peer = house.join(Handler)
    house.settle()
    assert peer.read() == b"" and peer.eof
    assert opened == []


# Threads and debug mode


def test_debug_mode_names_callbacks_that_hold_up_the_loop(clock, caplog):
    def slow(seconds):
        clock.advance(seconds)

    wire, far = socket.socketpair()
    with wire, far, Reactor(clock=clock, debug=True) as reactor:
        reactor.call_soon(slow, 0.09)
        reactor.handle_events(0)
        assert caplog.records == []
        reactor.call_soon(slow, 0.11)
        reactor.handle_events(0)
        reactor.call_later(1, slow, 0.25)
        clock.advance(1)
        reactor.handle_events(0)
        far.send(b"x")
        reactor.register(wire, EVENT_READ, slow)  # 1 s, for EVENT_READ is 1
        reactor.handle_events(0)
        messages = [record.getMessage() for record in caplog.records]
        assert ["slow" in text for text in messages] == [True] * 3
        assert all(ms in text for text, ms in zip(messages, ("110 ms", "250 ms", "1000 ms"), strict=True))


CALLS = {
    "register": lambda reactor, wire: reactor.register(wire, EVENT_READ, print),
    "modify": lambda reactor, wire: reactor.modify(wire, EVENT_READ),
    "unregister": lambda reactor, wire: reactor.unregister(wire),
    "call_soon": lambda reactor, wire: reactor.call_soon(print),
    "call_later": lambda reactor, wire: reactor.call_later(1, print),
    "call_at": lambda reactor, wire: reactor.call_at(1, print),
    "call_every": lambda reactor, wire: reactor.call_every(1, print),
    "offload": lambda reactor, wire: reactor.offload(print, then=print),
    "on_signal": lambda reactor, wire: reactor.on_signal(signal.SIGUSR1, print),
    "drain_on": lambda reactor, wire: reactor.drain_on(signal.SIGUSR1),
    "handle_events": lambda reactor, wire: reactor.handle_events(0),
}
FROM_ANYWHERE = {
    "call_soon_threadsafe": lambda reactor, wire: reactor.call_soon_threadsafe(int),
    "drain": lambda reactor, wire: reactor.drain(),
    "stop": lambda reactor, wire: reactor.stop(),
}


@pytest.mark.parametrize("name", CALLS)
def test_debug_mode_refuses_a_foreign_thread_and_says_what_to_call(name):
    errors = []
    wire, far = socket.socketpair()
    with wire, far, Reactor(debug=True) as reactor:

        def attempt():
            try:
                CALLS[name](reactor, wire)
            except RuntimeError as exc:
                errors.append(str(exc))
            finally:
                reactor.stop()

        thread = threading.Thread(target=attempt, name="stranger")
        reactor.call_soon(thread.start)
        reactor.run()
        thread.join()
    (text,) = errors
    assert "stranger" in text and "call_soon_threadsafe" in text


def test_a_foreign_thread_may_call_what_is_made_for_it_even_in_debug_mode():
    errors = []
    with Reactor(debug=True) as reactor:

        def attempt():
            try:
                for call in FROM_ANYWHERE.values():
                    call(reactor, None)
            except RuntimeError as exc:
                errors.append(exc)
                reactor.stop()

        thread = threading.Thread(target=attempt)
        reactor.call_soon(thread.start)
        reactor.run()
        thread.join()
    assert errors == []


# Fork


def fork():
    """`os.fork`; a child that goes astray does not outlive the tests."""
    pid = os.fork()
    if not pid:
        signal.alarm(30)
    return pid


def in_child(function):
    """What *function* returns in a forked child, as text."""
    reader, writer = os.pipe()
    pid = fork()
    if not pid:
        status = 1
        try:
            os.close(reader)
            os.write(writer, repr(function()).encode())
            status = 0
        except BaseException as exc:
            os.write(writer, f"{type(exc).__name__}: {exc}".encode())
        finally:
            os._exit(status)
    os.close(writer)
    with open(reader, encoding="utf-8") as pipe:
        text = pipe.read()
    _, status = os.waitpid(pid, 0)
    assert status == 0, text
    return text


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork()")


@needs_fork
@pytest.mark.parametrize("name", [*CALLS, *FROM_ANYWHERE, "run"])
def test_in_a_forked_child_every_call_of_the_parents_reactor_is_a_runtime_error(name):
    call = {**CALLS, **FROM_ANYWHERE, "run": lambda reactor, wire: reactor.run()}[name]
    wire, far = socket.socketpair()
    with wire, far, Reactor() as reactor:

        def attempt():
            try:
                call(reactor, wire)
            except RuntimeError as exc:
                return "forked child" in str(exc)
            return "nothing raised"

        assert in_child(attempt) == "True"


@needs_fork
def test_a_fork_in_an_upcall_leaves_the_child_nothing_to_call_and_the_parent_goes_on():
    """The child returns from the upcall into the turn, which must end there with nothing done."""
    reader, writer = os.pipe()
    wires = [socket.socketpair() for _ in range(2)]
    children, heard = [], []
    parent = os.getpid()
    with contextlib.ExitStack() as stack:
        for pair in wires:
            for sock in pair:
                stack.enter_context(sock)
        selector = RecordingSelector()
        reactor = stack.enter_context(Reactor(selector))

        def note(what):
            heard.append(what)
            os.write(writer, b"%s %s\n" % (b"parent" if os.getpid() == parent else b"child", what.encode()))

        def fork_in_upcall(event):
            pid = fork()
            if pid:
                children.append(pid)
                reactor.unregister(wires[0][0])
                reactor.unregister(wires[1][0])

        for near, far in wires:
            far.send(b"x")
            reactor.register(near, EVENT_READ, fork_in_upcall)
        reactor.call_soon(note, "soon")
        reactor.call_later(0, note, "timer")
        before = len(selector.calls)
        status = 1
        try:
            reactor.handle_events(0)
            if os.getpid() != parent:
                touched = len(selector.calls) != before
                os.write(writer, b"child touched %d\n" % touched)
                status = 0
        finally:
            if os.getpid() != parent:
                os._exit(status)
        os.close(writer)
        with open(reader, encoding="utf-8") as pipe:
            lines = sorted(pipe.read().splitlines())
        statuses = [os.waitpid(pid, 0)[1] for pid in children]
        assert lines == ["child touched 0", "parent soon", "parent timer"]
        assert statuses == [0]
        reactor.call_soon(heard.append, "on")
        reactor.handle_events(0)
        assert heard[-1] == "on"


@needs_fork
def test_a_fork_inside_run_makes_run_raise_in_the_child():
    selector = RecordingSelector()
    with Reactor(selector) as reactor:
        parent = os.getpid()
        children = []

        def fork_in_upcall():
            pid = fork()
            if pid:
                children.append(pid)
                reactor.stop()

        reactor.call_soon(fork_in_upcall)
        status = 1
        try:
            reactor.run()
            status = 2
        except RuntimeError as exc:
            status = 0 if "forked child" in str(exc) else 3
        finally:
            if os.getpid() != parent:
                os._exit(status)
        assert status == 2  # in the parent it returned
        assert os.waitpid(children[0], 0)[1] == 0


@needs_fork
def test_in_a_forked_child_signals_are_as_they_were_before_the_reactor(own_signals):
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    with Reactor() as reactor:
        reactor.on_signal(signal.SIGUSR1, print)
        reactor.drain_on(signal.SIGTERM)
        answers = []

        def look():
            numbers = (signal.SIGUSR1, signal.SIGTERM)
            return signal.set_wakeup_fd(-1), [signal.getsignal(number) for number in numbers]

        def ask():
            answers.append(in_child(look))
            reactor.stop()

        ours = signal.getsignal(signal.SIGUSR1)
        reactor.call_soon(ask)
        reactor.run()
        assert answers == [repr((-1, [signal.SIG_IGN, signal.SIG_DFL]))]
        assert signal.getsignal(signal.SIGUSR1) is ours  # the parent's is untouched


@needs_fork
def test_the_childs_end_takes_no_registration_from_the_parent():
    """An epoll instance is shared with a child: closing the reactor there must not unregister here."""
    near, far = socket.socketpair()
    heard = []
    with near, far, Reactor() as reactor:
        reactor.register(near, EVENT_READ, heard.append)
        assert in_child(lambda: reactor.close()) == "None"
        far.send(b"x")
        reactor.handle_events(0)
        assert heard == [EVENT_READ]


@needs_fork
def test_a_child_can_have_a_reactor_of_its_own():
    def child():
        heard = []
        with Reactor() as own:
            own.call_soon(heard.append, "called")
            own.call_soon(own.stop)
            own.run()
        return heard

    with Reactor() as reactor:
        assert in_child(child) == repr(["called"])
        reactor.handle_events(0)


# The public face


def test_several_servers_timers_and_descriptors_live_in_one_loop(own_signals):
    """The example of the README, all its lines at once."""

    class Upper(AsyncStreamRequestHandler):
        async def handle(self):
            async for line in self.rfile:
                self.wfile.write(line.upper())
                await self.wfile.drain()

    class UpperDatagram(public.DatagramRequestHandler):
        def handle(self):
            self.wfile.write(self.rfile.read().upper())

    reports, readable = [], []
    near, far = socket.socketpair()
    with near, far, Reactor() as reactor:
        stream = ReactorTCPServer(("127.0.0.1", 0), Upper)
        datagram = ReactorUDPServer(("127.0.0.1", 0), UpperDatagram)
        classic = public.ThreadingTCPServer(("127.0.0.1", 0), Slow)
        for server in (stream, datagram, classic):
            reactor.register(server)
        reactor.register(near, EVENT_READ, lambda event: readable.append(near.recv(10)))
        reactor.call_every(60, reports.append, "report")
        reactor.drain_on(signal.SIGTERM)
        answers = []

        def clients():
            with socket.create_connection(stream.server_address) as client:
                client.sendall(b"stream\n")
                answers.append(client.recv(100))
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.settimeout(30)
                client.sendto(b"datagram", datagram.server_address)
                answers.append(client.recv(100))
            with socket.create_connection(classic.server_address) as client:
                client.sendall(b"classic\n")
                answers.append(client.recv(100))
            far.send(b"pipe")
            os.kill(os.getpid(), signal.SIGTERM)

        thread = threading.Thread(target=clients)
        thread.start()
        reactor.run()
        thread.join()
    assert answers == [b"STREAM\n", b"DATAGRAM", b"CLASSIC\n"]
    assert readable in ([b"pipe"], [])  # the signal may come first
    assert reports == []


def test_close_from_a_closing_call_of_the_same_reactor_changes_nothing():
    closed = []

    class Handler(StateRequestHandler):
        def start(self):
            self.expect(Line(), self.write)

        def finish(self):
            closed.append(self)
            self.reactor.close()

    with House() as house:
        for _ in range(3):
            house.connect(Handler)
        house.reactor.close()
        assert len(closed) == 3
        with pytest.raises(RuntimeError, match="closed"):
            house.reactor.call_soon(print)
