"""Proves that what goes on in the threads and children of a registered server drains with the reactor.

The reactor runs in the test's own thread, which is where signals arrive; a script in another thread
is the client. A request is two lines, and a handler says when it has read the first.
"""

import logging
import os
import pathlib
import signal
import socket
import socketserver
import threading
import time
from contextlib import ExitStack, contextmanager
from functools import partial

import pytest

from reactor import (
    BaseRequestHandler,
    ForkingTCPServer,
    Limits,
    Line,
    Reactor,
    ReactorTCPServer,
    StateRequestHandler,
    StreamRequestHandler,
    ThreadingTCPServer,
)
from reactor.hosted import DRAIN_INTERVAL
from tests.support.clock import ManualClock
from tests.support.selecting import ScriptedSelector
from tests.support.servers import (
    FORKS,
    PATIENCE,
    Channel,
    Thread,
    await_threads,
    connected,
    datagram_peer,
    ended,
    hosts,
    looping,
    made,
    nothing_left,
    program,
    running,
)

CONCURRENT = hosts("TCP", "UnixStream", kinds=("Threading", "Forking"))
OF_TCP = hosts("TCP", kinds=("Threading", "Forking"))


class Blocking(StreamRequestHandler):
    def handle(self):
        for first in self.rfile:
            self.server.said.say("begun")
            self.wfile.write(first.strip() + self.rfile.readline())


class State(StateRequestHandler):
    def start(self):
        self.expect(Line(), self.first)

    def first(self, line):
        self.server.said.say("begun")
        self.expect(Line(), partial(self.second, line))

    def second(self, first, line):
        self.write(first.strip() + line)


class Deaf(BaseRequestHandler):
    """Waits for a word, and for nothing that its client does."""

    def handle(self):
        self.server.said.say("begun")
        try:
            self.server.way_out.hear()
        finally:
            self.server.said.say("handled")


KNOWN = [
    pytest.param(Blocking, Limits(), id="files"),
    pytest.param(State, Limits(), id="state"),
    pytest.param(State, None, id="state-without-limits"),
]
EACH = [*KNOWN, pytest.param(Blocking, None, id="files-without-limits")]


class House:
    """Servers whose handlers can be heard, and those that are `Deaf` let out at the end."""

    def __init__(self, stack):
        self._stack = stack
        self.said, self.way_out = (stack.enter_context(Channel()) for _ in range(2))

    def server(self, cls, handler, **attributes):
        attributes |= {"said": self.said, "way_out": self.way_out}
        return self._stack.enter_context(made(cls, handler, **attributes))

    def busy(self, server):
        """A client, when its handler has begun."""
        peer = self._stack.enter_context(connected(server))
        if server.RequestHandlerClass is not Deaf:
            peer.send(b"one \n")
        assert self.said.hear() == "begun"
        return peer

    def let_out(self):
        self.way_out.say("go")
        assert self.said.hear() == "handled"


@pytest.fixture
def house():
    """Nothing is left of it at the end."""
    with nothing_left(), ExitStack() as stack:
        house = House(stack)
        stack.callback(await_threads, set(threading.enumerate()))
        yield house
        for _ in range(5):
            house.way_out.say("go")


def run(script, *servers, signums=(signal.SIGUSR1, signal.SIGUSR2)):
    """Have a reactor run these here, and close it, while *script* is called in another thread with that
    reactor; the status that the process would end with."""
    with Reactor() as reactor:
        for server in servers:
            reactor.register(server)
        if signums:
            reactor.drain_on(*signums)
        thread = Thread(_play, reactor, script)
        try:
            reactor.run()
            status = 0
        except SystemExit as exc:
            status = exc.code
        finally:
            thread.finish()
    return status


def _play(reactor, script):
    try:
        script(reactor)
    except BaseException:
        reactor.stop()
        raise


def until(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def drain(reactor):
    os.kill(os.getpid(), signal.SIGUSR1)
    until(lambda: reactor.requests.draining)


def gone(peer):
    """Whether the connection ends, without an answer."""
    try:
        return peer.rest() == b""
    except ConnectionResetError:
        return True  # what was sent has not been read


def warnings(caplog):
    """What was logged that is worth a line."""
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def cut(why, lost=1):
    return [f"draining cut short by {why}: {lost} partial requests lost, {lost} connections"]


# Idle, or under way


@pytest.mark.parametrize("cls", CONCURRENT)
@pytest.mark.parametrize(("handler", "limits"), KNOWN)
def test_who_is_idle_ends_at_once(cls, handler, limits, house, caplog):
    def script(reactor):
        peer = house.busy(server)
        assert peer.ask(b"two\n") == b"onetwo\n"
        drain(reactor)
        assert peer.rest() == b""
        peer.half_close()

    server = house.server(cls, handler, limits=limits)
    assert run(script, server) == 0
    assert warnings(caplog) == []


@pytest.mark.parametrize("cls", CONCURRENT)
@pytest.mark.parametrize(("handler", "limits"), EACH)
def test_a_request_under_way_is_finished_and_answered(cls, handler, limits, house, caplog):
    def script(reactor):
        peer = house.busy(server)
        drain(reactor)
        with pytest.raises(OSError):
            connected(server)
        assert peer.ask(b"two\n") == b"onetwo\n"
        peer.half_close()

    server = house.server(cls, handler, limits=limits)
    assert run(script, server) == 0
    assert warnings(caplog) == []


@pytest.mark.parametrize("cls", hosts("UDP", kinds=("Threading", "Forking")))
def test_a_datagram_that_is_being_handled_is_waited_for(cls, house):
    def script(reactor):
        with datagram_peer(server) as peer:
            peer.send(b"wake up")
            assert house.said.hear() == "begun"
            drain(reactor)
            house.let_out()

    server = house.server(cls, Deaf)
    assert run(script, server) == 0
    assert house.said.silent()


@pytest.mark.parametrize("cls", OF_TCP)
def test_meanwhile_the_loop_serves_its_own_rows_and_then_waits_for_the_rest(cls, house, caplog):
    def script(reactor):
        house.busy(server)
        peer = house.busy(rows)
        drain(reactor)
        with pytest.raises(OSError):
            connected(rows)
        assert peer.ask(b"two\n") == b"onetwo\n"
        peer.half_close()
        until(lambda: not reactor.requests)
        house.let_out()

    server, rows = house.server(cls, Deaf), house.server(ReactorTCPServer, State)
    assert run(script, server, rows) == 0
    assert warnings(caplog) == []


@FORKS
def test_several_servers_are_waited_for_until_the_last_is_done(house):
    def script(reactor):
        for server in servers:
            house.busy(server)
        drain(reactor)
        for left in (2, 1, 0):
            house.let_out()
            until(lambda left=left: sum(server._hosted.under_way() for server in servers) == left)
            assert reactor.thread is not None or not left

    servers = [house.server(cls, Deaf) for cls in (ThreadingTCPServer, ForkingTCPServer, ThreadingTCPServer)]
    assert run(script, *servers) == 0


def test_while_threads_work_the_loop_sleeps_between_its_looks(house):
    selector = ScriptedSelector(ManualClock())
    server = house.server(ThreadingTCPServer, Deaf)
    with Reactor(selector, clock=selector.clock) as reactor, connected(server):
        reactor.register(server)
        selector.ready[server.fileno()] = 1
        reactor.handle_events()
        assert house.said.hear() == "begun"
        reactor.drain()
        reactor.handle_events()
        selector.waits.clear()
        for _ in range(4):
            reactor.handle_events()
        assert selector.waits == pytest.approx([DRAIN_INTERVAL] * 4)
        house.let_out()
        until(lambda: not server._hosted.under_way())
        reactor.run()
        assert len(selector.waits) == 5


# Cut short


@pytest.mark.parametrize("cls", CONCURRENT)
@pytest.mark.parametrize(("handler", "limits"), EACH)
def test_a_second_signal_abandons_them_and_they_are_counted_with_the_rows(
    cls, handler, limits, house, caplog
):
    def script(reactor):
        peers = [house.busy(each) for each in (server, server, rows)]
        drain(reactor)
        os.kill(os.getpid(), signal.SIGUSR2)
        assert all(gone(peer) for peer in peers)

    server, rows = house.server(cls, handler, limits=limits), house.server(ReactorTCPServer, State)
    assert run(script, server, rows) == 1
    assert warnings(caplog) == cut("a second signal", lost=3)


@pytest.mark.parametrize("cls", OF_TCP)
def test_what_outlasts_drain_timeout_is_lost_and_closing_does_not_wait_for_it(cls, house, caplog):
    server = house.server(cls, Deaf, limits=Limits(drain_timeout=0.05))

    def script(reactor):
        house.busy(server)
        drain(reactor)

    assert run(script, server) == 1
    assert house.said.silent()
    assert warnings(caplog) == cut("drain_timeout (0.05 s)")


@pytest.mark.parametrize(
    ("limits", "longest"),
    [
        ([None], 10),
        ([Limits(drain_timeout=5)], 5),
        ([Limits(drain_timeout=5), Limits(drain_timeout=60), None], 60),
        ([Limits(drain_timeout=None), Limits(drain_timeout=5)], None),
    ],
)
def test_the_most_patient_server_that_is_busy_says_how_long_to_wait(limits, longest, house, caplog):
    clock = ManualClock()
    idle = house.server(ThreadingTCPServer, Deaf, limits=Limits(drain_timeout=1000))
    servers = [house.server(ThreadingTCPServer, Deaf, limits=each) for each in limits]
    with ExitStack() as stack, Reactor(clock=clock) as reactor:
        for server in (idle, *servers):
            reactor.register(server)
        for server in servers:
            stack.enter_context(connected(server))
            until(lambda: reactor.handle_events(0.01))
            assert house.said.hear() == "begun"
        reactor.drain()
        reactor.handle_events(0)
        clock.advance(1e6 if longest is None else longest - 0.1)
        reactor.handle_events(0)
        assert warnings(caplog) == []
        if longest is None:
            reactor._drain_signalled()
        else:
            clock.advance(0.2)
            reactor.handle_events(0)
        why = "a second signal" if longest is None else f"drain_timeout ({longest} s)"
        assert warnings(caplog) == cut(why, lost=len(servers))


@pytest.mark.parametrize("cls", hosts("TCP", kinds=("Threading",)))
def test_who_is_only_slow_to_go_when_time_is_up_is_not_lost(cls, house, caplog):
    def script(reactor):
        peer = house.busy(server)
        assert peer.ask(b"two\n") == b"onetwo\n"
        drain(reactor)
        assert peer.rest() == b""
        until(lambda: reactor.thread is None)

    server = house.server(cls, State, limits=Limits(drain_timeout=0.5, linger_timeout=PATIENCE))
    others = house.server(cls, State), house.server(socketserver.ThreadingTCPServer, State)
    assert run(script, server, *others) == 0
    assert warnings(caplog) == []


# The standard library's


@pytest.mark.parametrize("cls", [socketserver.ThreadingTCPServer, socketserver.ThreadingUnixStreamServer])
def test_the_standard_librarys_threads_are_waited_for(cls, house, caplog):
    def script(reactor):
        house.busy(server)
        drain(reactor)
        house.let_out()

    server = house.server(cls, Deaf)
    assert run(script, server) == 0
    assert warnings(caplog) == []


@pytest.mark.parametrize("limits", [Limits(drain_timeout=0.05), "the program's own"])
def test_the_standard_librarys_threads_are_lost_when_draining_is_cut_short(limits, house, caplog):
    def script(reactor):
        house.busy(server)
        drain(reactor)
        if not isinstance(limits, Limits):
            os.kill(os.getpid(), signal.SIGUSR2)

    server = house.server(socketserver.ThreadingTCPServer, Deaf, limits=limits)
    assert run(script, server) == 1
    assert house.said.silent()
    assert warnings(caplog) == cut(
        "drain_timeout (0.05 s)" if isinstance(limits, Limits) else "a second signal"
    )


@pytest.mark.parametrize("setting", [{"daemon_threads": True}, {"block_on_close": False}])
def test_of_threads_that_the_standard_library_does_not_wait_for_nothing_is_known(setting, house, caplog):
    def script(reactor):
        house.busy(server)
        os.kill(os.getpid(), signal.SIGUSR1)

    server = house.server(socketserver.ThreadingTCPServer, Deaf, **setting)
    assert run(script, server) == 0
    assert house.said.silent()
    assert warnings(caplog) == []


# Children


@FORKS
def test_children_that_know_no_signal_get_none_and_are_waited_for(house, caplog):
    def script(reactor):
        peer = house.busy(server)
        reactor.drain()
        until(lambda: reactor.requests.draining)
        assert peer.ask(b"two\n") == b"onetwo\n"
        peer.half_close()

    server = house.server(ForkingTCPServer, State)
    assert run(script, server, signums=()) == 0
    assert warnings(caplog) == []


@FORKS
def test_a_signal_that_a_child_gets_as_soon_as_it_is_made_has_it_drain(house, monkeypatch):
    """It would kill the child before that is ready for it."""

    def fork():
        pid = real_fork()
        if not pid:
            os.kill(os.getpid(), signal.SIGUSR1)
        return pid

    def waitpid(pid, options):
        found = real_waitpid(pid, options)
        if found[0]:
            statuses.append(found[1])
        return found

    def script(reactor):
        with connected(server) as peer:
            assert peer.rest() == b""
        drain(reactor)

    statuses = []
    real_fork, real_waitpid = os.fork, os.waitpid
    monkeypatch.setattr(os, "fork", fork)
    monkeypatch.setattr(os, "waitpid", waitpid)
    server = house.server(ForkingTCPServer, State)
    assert run(script, server) == 0
    assert statuses == [0]


@FORKS
def test_children_of_a_loop_in_another_thread_drain_at_the_signal_too(house):
    server = house.server(ForkingTCPServer, State)
    with Reactor() as reactor:
        reactor.register(server)
        reactor.drain_on(signal.SIGUSR1)
        with looping(reactor):
            peer = house.busy(server)
            assert peer.ask(b"two\n") == b"onetwo\n"
            drain(reactor)
            assert peer.rest() == b""
            peer.half_close()
            until(lambda: reactor.thread is None)


@FORKS
def test_a_child_gets_the_signal_again_and_heeds_it_once(house, monkeypatch):
    """It may have come just before the child began to wait. At a terminal it comes from there too."""

    def kill(pid, signum):
        if pid != os.getpid():
            sent.append(pid)
        real_kill(pid, signum)

    def script(reactor):
        peer = house.busy(server)
        drain(reactor)
        until(lambda: len(sent) > 2)
        assert peer.ask(b"two\n") == b"onetwo\n"

    sent = []
    real_kill = os.kill
    monkeypatch.setattr(os, "kill", kill)
    server = house.server(ForkingTCPServer, Blocking, limits=Limits())
    assert run(script, server) == 0
    assert len({*sent}) == 1


@FORKS
def test_a_server_that_has_left_its_reactor_serves_alone_as_ever(house):
    server = house.server(ForkingTCPServer, State)
    with Reactor() as reactor:
        reactor.register(server)
        server.shutdown()
    with running(server):
        peer = house.busy(server)
        assert peer.ask(b"two\n") == b"onetwo\n"
        peer.half_close()
        assert peer.rest() == b""


# With real signals, in a process of its own

SERVERS = """
import signal, sys
from reactor import *

class Handler(StreamRequestHandler):
    def handle(self):
        if begun := self.rfile.read(4):
            print("begun", flush=True)
            self.wfile.write((begun + self.rfile.readline()).upper())

class State(StateRequestHandler):
    def start(self):
        self.expect(Exactly(4), self.first)

    def first(self, begun):
        print("begun", flush=True)
        self.expect(Line(), lambda line: self.write((begun + line).upper()))

class Threads(ThreadingTCPServer):
    limits = Limits()

class Children(ForkingTCPServer):
    limits = Limits()

with Reactor() as reactor:
    for cls, handler in ((Threads, Handler), (Children, Handler), (ReactorTCPServer, State)):
        server = cls(("127.0.0.1", 0), handler)
        reactor.register(server)
        print(server.server_address[1], flush=True)
    reactor.drain_on(signal.SIGTERM, signal.SIGINT)
    print("ready", flush=True)
    reactor.run()
    print("returned", flush=True)
"""


@contextmanager
def three_servers():
    """The process, and two clients of each server: one is idle, the other's request is under way."""
    with program(SERVERS) as process, ExitStack() as stack:
        ports = [int(process.stdout.readline()) for _ in range(3)]
        assert process.stdout.readline() == "ready\n"
        peers = []
        for port in ports:
            for data in (b"", b"half"):
                peer = socket.create_connection(("127.0.0.1", port), PATIENCE)
                peers.append(stack.enter_context(peer))
                peer.sendall(data)
            assert process.stdout.readline() == "begun\n"
        yield process, peers[::2], peers[1::2]


def test_a_process_with_servers_of_each_kind_drains_and_ends_well():
    with three_servers() as (process, idle, busy):
        process.send_signal(signal.SIGTERM)
        assert [peer.recv(100) for peer in idle] == [b""] * 3
        for peer in busy:
            peer.sendall(b" done\n")
            assert peer.recv(100) == b"HALF DONE\n"
            assert peer.recv(100) == b""
            peer.close()
        assert ended(process) == (0, "returned\n", "")


def test_a_second_signal_ends_a_process_with_servers_of_each_kind_at_once():
    with three_servers() as (process, idle, _):
        process.send_signal(signal.SIGINT)
        assert [peer.recv(100) for peer in idle] == [b""] * 3
        children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children")
        until(lambda: len(children.read_text().split()) == 1)  # the idle one has ended as well
        process.send_signal(signal.SIGTERM)
        status, out, err = ended(process)
    assert (status, out) == (1, "")
    assert "draining cut short by a second signal: 3 partial requests lost" in err
    assert len(err.splitlines()) == 1
