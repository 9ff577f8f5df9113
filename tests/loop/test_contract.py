"""Proves that `Reactor` keeps its contract on every kind of selector: registering, dispatching, errors."""

import os
import selectors
import socket
import threading

import pytest

from reactor import EVENT_READ, EVENT_WRITE, EventHandler, Reactor
from tests.support.selecting import ScriptedSelector

REAL = [
    getattr(selectors, name)
    for name in ("SelectSelector", "PollSelector", "EpollSelector", "KqueueSelector")
    if hasattr(selectors, name)
]


class SocketWire:
    """A descriptor of the system's, which becomes readable when told to."""

    def __init__(self, at: int | None = None) -> None:
        self.near, self.far = socket.socketpair()
        if at is not None and self.near.fileno() != at:
            with self.near as other:
                self.near = socket.socket(fileno=os.dup2(other.fileno(), at))
        self.near.setblocking(False)

    def fileno(self) -> int:
        return self.near.fileno()

    def arrive(self) -> None:
        self.far.send(b"x")

    def take(self) -> None:
        self.near.recv(4096)

    def close(self) -> None:
        self.near.close()
        self.far.close()


class ScriptedWire:
    """The same for a scripted selector: a descriptor that stays silent, and an entry in `ready`."""

    def __init__(self, selector: ScriptedSelector, at: int | None = None) -> None:
        self.selector = selector
        self.number = os.open(os.devnull, os.O_RDONLY)
        if at is not None and self.number != at:
            os.dup2(self.number, at)
            os.close(self.number)
            self.number = at
        selector.ready[self.number] = EVENT_WRITE

    def fileno(self) -> int:
        return self.number

    def arrive(self) -> None:
        self.selector.ready[self.number] |= EVENT_READ

    def take(self) -> None:
        self.selector.ready[self.number] &= ~EVENT_READ

    def close(self) -> None:
        if self.number >= 0:
            del self.selector.ready[self.number]
            os.close(self.number)
        self.number = -1


class Bench:
    """A reactor on one kind of selector, and wires to register with it."""

    def __init__(self, selector: selectors.BaseSelector) -> None:
        self.selector = selector
        self.reactor = Reactor(selector)
        self.wires = []

    def wire(self, at: int | None = None):
        if isinstance(self.selector, ScriptedSelector):
            wire = ScriptedWire(self.selector, at)
        else:
            wire = SocketWire(at)
        self.wires.append(wire)
        return wire

    def turn(self) -> int:
        return self.reactor.handle_events(0)

    def close(self) -> None:
        self.reactor.close()
        for wire in self.wires:
            wire.close()


@pytest.fixture(params=[*REAL, ScriptedSelector], ids=lambda kind: kind.__name__)
def bench(request):
    bench = Bench(request.param())
    yield bench
    bench.close()


class Recorder(EventHandler):
    """A handler that notes what it is called with, and does what it is told to."""

    def __init__(self, wire, reactor, on_read=None, on_write=None, on_exception=None):
        self.wire = wire
        self.reactor = reactor
        self.heard = []
        self.on_read = on_read
        self.on_write = on_write
        self.on_exception = on_exception

    def fileno(self):
        return self.wire.fileno()

    def handle_read(self):
        self.heard.append("read")
        if self.on_read is not None:
            self.on_read()

    def handle_write(self):
        self.heard.append("write")
        if self.on_write is not None:
            self.on_write()

    def handle_exception(self, exc):
        self.heard.append(type(exc).__name__)
        if self.on_exception is not None:
            self.on_exception()
        super().handle_exception(exc)

    def close(self):
        self.heard.append("close")
        if self.reactor.registered(self):
            self.reactor.unregister(self)


def fails(exc):
    def raising(*args):
        raise exc

    return raising


# Being called


def test_a_callable_gets_the_event_each_turn_for_as_long_as_it_holds(bench):
    wire, events = bench.wire(), []
    bench.reactor.register(wire, EVENT_READ, events.append)
    assert bench.turn() == 0 and events == []
    wire.arrive()
    assert bench.turn() == 1
    assert bench.turn() == 1
    wire.take()
    assert bench.turn() == 0
    assert events == [EVENT_READ, EVENT_READ]


def test_a_callable_is_called_once_for_each_event(bench):
    wire, events = bench.wire(), []
    bench.reactor.register(wire, EVENT_READ | EVENT_WRITE, events.append)
    wire.arrive()
    assert bench.turn() == 1
    assert events == [EVENT_READ, EVENT_WRITE]


def test_a_plain_descriptor_number_can_be_registered(bench):
    wire, events = bench.wire(), []
    bench.reactor.register(wire.fileno(), EVENT_READ, events.append)
    wire.arrive()
    bench.turn()
    assert events == [EVENT_READ]
    bench.reactor.unregister(wire.fileno())
    bench.turn()
    assert events == [EVENT_READ]


def test_an_event_handler_needs_no_second_argument(bench):
    handler = Recorder(bench.wire(), bench.reactor)
    key = bench.reactor.register(handler)
    assert (key.fileobj, key.events) == (handler, EVENT_READ)
    handler.wire.arrive()
    bench.turn()
    assert handler.heard == ["read"]


def test_an_event_handler_may_stand_for_another_file_object(bench):
    wire = bench.wire()
    handler = Recorder(wire, bench.reactor)
    bench.reactor.register(wire, EVENT_WRITE, handler)
    bench.turn()
    assert handler.heard == ["write"]


def test_what_is_registered_during_a_turn_is_called_in_the_next(bench):
    first, second, heard = bench.wire(), bench.wire(), []

    def on_first(event):
        bench.reactor.unregister(first)
        second.arrive()
        bench.reactor.register(second, EVENT_READ, heard.append)

    bench.reactor.register(first, EVENT_READ, on_first)
    first.arrive()
    bench.turn()
    assert heard == []
    bench.turn()
    assert heard == [EVENT_READ]


# Register, modify, unregister


def test_registering_twice_is_a_key_error_that_names_modify_and_changes_nothing(bench):
    wire, first, second = bench.wire(), [], []
    bench.reactor.register(wire, EVENT_READ, first.append)
    with pytest.raises(KeyError, match=r"registered already: use modify\(\)"):
        bench.reactor.register(wire, EVENT_WRITE, second.append)
    wire.arrive()
    bench.turn()
    assert (first, second) == ([EVENT_READ], [])


@pytest.mark.parametrize("events", [0, 4, EVENT_READ | 4, -1])
def test_events_that_are_none_are_a_value_error_and_nothing_is_registered(bench, events):
    wire = bench.wire()
    with pytest.raises(ValueError):
        bench.reactor.register(wire, events, print)
    assert not bench.reactor.registered(wire)


def test_a_closed_file_object_is_a_value_error(bench):
    wire = bench.wire()
    wire.close()
    with pytest.raises(ValueError):
        bench.reactor.register(wire, EVENT_READ, print)


@pytest.mark.parametrize("selector_class", REAL, ids=lambda kind: kind.__name__)
def test_the_number_of_a_closed_descriptor_is_a_value_error(selector_class):
    sock = socket.socket()
    number = sock.fileno()
    with Reactor(selector_class()) as reactor:
        # The highest descriptor, so that nobody takes its number meanwhile.
        number = os.dup2(number, 1000)
        os.close(number)
        sock.close()
        with pytest.raises(ValueError):
            reactor.register(number, EVENT_READ, print)


@pytest.mark.parametrize("handler", [5, "handle_read", object()], ids=repr)
def test_a_handler_that_is_neither_handler_nor_callable_is_a_type_error(bench, handler):
    wire = bench.wire()
    with pytest.raises(TypeError, match="EventHandler or a callable"):
        bench.reactor.register(wire, EVENT_READ, handler)
    assert not bench.reactor.registered(wire)


def test_a_file_object_alone_is_a_type_error_that_says_what_to_pass(bench):
    with pytest.raises(TypeError, match=r"register\(fileobj, events, handler\)"):
        bench.reactor.register(bench.wire())


def test_modify_changes_what_is_watched_and_keeps_the_handler(bench):
    handler = Recorder(bench.wire(), bench.reactor)
    bench.reactor.register(handler, EVENT_READ)
    handler.wire.arrive()
    assert bench.reactor.modify(handler, EVENT_WRITE).events == EVENT_WRITE
    bench.turn()
    bench.reactor.modify(handler, EVENT_READ | EVENT_WRITE)
    bench.turn()
    assert handler.heard == ["write", "read", "write"]


def test_modify_of_what_is_not_registered_is_a_key_error(bench):
    with pytest.raises(KeyError):
        bench.reactor.modify(bench.wire(), EVENT_READ)


@pytest.mark.parametrize("events", [0, 4])
def test_modify_to_events_that_are_none_is_a_value_error_and_changes_nothing(bench, events):
    wire, heard = bench.wire(), []
    bench.reactor.register(wire, EVENT_READ, heard.append)
    with pytest.raises(ValueError):
        bench.reactor.modify(wire, events)
    wire.arrive()
    bench.turn()
    assert heard == [EVENT_READ]


def test_unregister_ends_it_closes_nothing_and_allows_a_new_registration(bench):
    wire, heard = bench.wire(), []
    bench.reactor.register(wire, EVENT_READ, heard.append)
    wire.arrive()
    assert bench.reactor.registered(wire)
    assert bench.reactor.unregister(wire).fileobj is wire
    assert not bench.reactor.registered(wire)
    assert bench.turn() == 0 and heard == []
    assert wire.fileno() >= 0
    bench.reactor.register(wire, EVENT_READ, heard.append)
    bench.turn()
    assert heard == [EVENT_READ]


def test_unregister_of_what_is_not_registered_is_a_key_error(bench):
    wire = bench.wire()
    with pytest.raises(KeyError):
        bench.reactor.unregister(wire)
    bench.reactor.register(wire, EVENT_READ, print)
    bench.reactor.unregister(wire)
    with pytest.raises(KeyError):
        bench.reactor.unregister(wire)


def test_what_was_closed_while_registered_can_still_be_unregistered(bench):
    wire = bench.wire()
    bench.reactor.register(wire, EVENT_READ, print)
    wire.close()
    bench.reactor.unregister(wire)
    assert not bench.reactor.registered(wire)


# Stale events


def test_no_event_of_this_turn_reaches_what_was_unregistered_in_it(bench):
    handlers = []

    def end_the_others():
        for each in handlers:
            if bench.reactor.registered(each):
                bench.reactor.unregister(each)

    handlers += [Recorder(bench.wire(), bench.reactor, end_the_others, end_the_others) for _ in range(5)]
    for each in handlers:
        bench.reactor.register(each, EVENT_READ | EVENT_WRITE)
        each.wire.arrive()
    assert bench.turn() == 5
    # One was called, once: not even its own EVENT_WRITE came after it had gone.
    assert sorted(each.heard for each in handlers) == [[], [], [], [], ["read"]]


def test_no_stale_event_reaches_the_next_owner_of_a_descriptor_number(bench):
    handlers, newcomers = [], []

    def replace_the_other():
        me, other = handlers if handlers[0].heard else reversed(handlers)
        number = other.wire.fileno()
        bench.reactor.unregister(other)
        other.wire.close()
        newcomers.append(Recorder(bench.wire(at=number), bench.reactor))
        assert newcomers[0].fileno() == number
        bench.reactor.register(newcomers[0])
        bench.reactor.unregister(me)

    handlers += [Recorder(bench.wire(), bench.reactor, replace_the_other) for _ in range(2)]
    for each in handlers:
        bench.reactor.register(each)
        each.wire.arrive()
    assert bench.turn() == 2
    (newcomer,) = newcomers
    assert sorted(each.heard for each in handlers) == [[], ["read"]]
    assert newcomer.heard == []
    assert bench.turn() == 0
    newcomer.wire.arrive()
    bench.turn()
    assert newcomer.heard == ["read"]


# Errors


def test_an_error_costs_its_handler_only(bench):
    bad = Recorder(bench.wire(), bench.reactor, fails(ZeroDivisionError()))
    good = [Recorder(bench.wire(), bench.reactor) for _ in range(2)]
    for each in (good[0], bad, good[1]):
        bench.reactor.register(each)
        each.wire.arrive()
    bench.turn()
    bench.turn()
    assert bad.heard == ["read", "ZeroDivisionError", "close"]
    assert [each.heard for each in good] == [["read", "read"]] * 2


def test_a_handler_whose_error_handling_fails_is_closed_and_the_loop_goes_on(bench, caplog):
    bad = Recorder(
        bench.wire(), bench.reactor, fails(ZeroDivisionError()), on_exception=fails(KeyError("worse"))
    )
    good = Recorder(bench.wire(), bench.reactor)
    for each in (bad, good):
        bench.reactor.register(each)
        each.wire.arrive()
    bench.turn()
    assert bad.heard == ["read", "ZeroDivisionError", "close"]
    assert good.heard == ["read"]
    assert "KeyError" in caplog.text and "ZeroDivisionError" in caplog.text  # as its context


def test_a_callable_that_raises_is_logged_and_unregistered_and_its_descriptor_left_open(bench, caplog):
    wire = bench.wire()
    bench.reactor.register(wire, EVENT_READ, fails(ZeroDivisionError()))
    wire.arrive()
    bench.turn()
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "ZeroDivisionError" in caplog.text
    assert not bench.reactor.registered(wire)
    assert wire.fileno() >= 0


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_interrupts_pass_through_and_the_reactor_goes_on_after(bench, interrupt):
    handlers = [Recorder(bench.wire(), bench.reactor) for _ in range(3)]
    for each in handlers:
        each.on_read = fails(interrupt())
        bench.reactor.register(each)
        each.wire.arrive()
    with pytest.raises(interrupt):
        bench.turn()
    assert sorted(each.heard for each in handlers) == [[], [], ["read"]]  # and nobody was closed
    for each in handlers:
        each.on_read = None
        each.heard.clear()
    assert bench.turn() == 3
    assert [each.heard for each in handlers] == [["read"]] * 3


# The end


def test_close_closes_handlers_and_leaves_the_descriptors_of_callables_to_their_owners(bench):
    handler = Recorder(bench.wire(), bench.reactor)
    failing = Recorder(bench.wire(), bench.reactor)
    wire = bench.wire()
    failing.close = fails(ZeroDivisionError())
    bench.reactor.register(failing)
    bench.reactor.register(handler)
    bench.reactor.register(wire, EVENT_READ, print)
    bench.reactor.close()
    assert handler.heard == ["close"]
    assert wire.fileno() >= 0
    bench.reactor.close()  # does nothing
    assert handler.heard == ["close"]
    for call in (
        lambda: bench.reactor.register(wire, EVENT_READ, print),
        lambda: bench.reactor.call_soon(print),
        lambda: bench.reactor.call_soon_threadsafe(print),
        lambda: bench.reactor.handle_events(0),
        lambda: bench.reactor.run(),
        lambda: bench.reactor.stop(),
    ):
        with pytest.raises(RuntimeError, match="closed reactor"):
            call()


@pytest.mark.parametrize("selector_class", REAL, ids=lambda kind: kind.__name__)
def test_another_thread_ends_the_wait(selector_class):
    heard = []
    with Reactor(selector_class()) as reactor:
        waiting = threading.Event()
        reactor.call_soon(waiting.set)

        def call_from_elsewhere():
            waiting.wait()
            reactor.call_soon_threadsafe(heard.append, "called")
            reactor.call_soon_threadsafe(reactor.stop)

        thread = threading.Thread(target=call_from_elsewhere)
        thread.start()
        reactor.run()  # without a timer it would wait for a day
        thread.join()
    assert heard == ["called"]
