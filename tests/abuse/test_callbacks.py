"""Proves that whatever a callback does to the server that called it, stopping and closing included, works
from everywhere and hurts nobody who has no part in it.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time

import pytest

from reactor import (
    EVENT_READ,
    AsyncStreamRequestHandler,
    ForkingTCPServer,
    Line,
    Reactor,
    ReactorTCPServer,
    ReactorUnixStreamServer,
    StateRequestHandler,
    TCPServer,
    ThreadingTCPServer,
    ThreadingUnixStreamServer,
)
from tests.support.clock import ManualClock
from tests.support.pairs import House
from tests.support.servers import (
    FOREVER,
    FORKS,
    PATIENCE,
    Peer,
    Thread,
    connected,
    ended,
    made,
    nothing_left,
    program,
    serving,
)


class Acting:
    """Does what its server has in stock for where it is."""

    def setup(self):
        super().setup()
        self.reach("setup")

    def finish(self):
        super().finish()
        self.reach("finish")

    def reach(self, where):
        self.server.reach(where, self)

    def answer(self, line):
        self.write(line.upper())
        if line == b"fail\n":
            raise LookupError("as asked")
        self.reach("message")


class States(Acting, StateRequestHandler):
    def start(self):
        self.expect(Line(), self.answer)


class Coroutine(Acting, AsyncStreamRequestHandler):
    async def handle(self):
        async for line in self.rfile:
            self.answer(line)


styles = pytest.mark.parametrize("style", [States, Coroutine])

# Others' connections


@styles
@pytest.mark.parametrize("end", ["close", "abort"])
def test_whoever_comes_first_in_a_turn_may_end_all_others_of_that_turn(style, end):
    served, finished = [], []

    class Handler(style):
        def answer(self, line):
            served.append(self)
            self.write(line.upper())
            for handler, _ in everybody:
                if handler is not self:
                    getattr(handler, end)()
                    handler.write(b"too late")

        def finish(self):
            finished.append(self)

        def reach(self, where):
            pass

    with House() as house:
        everybody = [house.connect(Handler) for _ in range(20)]
        for _, peer in everybody:
            peer.send(b"a line\n")
        house.settle()
        (survivor,) = served
        for handler, peer in everybody:
            assert peer.read() == (b"A LINE\n" if handler is survivor else b"")
            assert (peer.eof or peer.reset) is (handler is not survivor)
        assert sorted(map(id, finished)) == sorted(id(h) for h, _ in everybody if h is not survivor)
        assert list(house.reactor.requests) == [survivor]


@styles
def test_a_handler_may_take_its_server_out_of_the_loop_and_put_another_in(style):
    """Registering, unregistering and stopping, all in one callback of the loop that it concerns."""

    class Second(style):
        def reach(self, where):
            pass

    def upheaval(handler):
        server, reactor = handler.server, handler.reactor
        server.act = None
        reactor.unregister(server)
        reactor.register(server)
        second = server.second = ReactorTCPServer(("127.0.0.1", 0), Second)
        reactor.register(second)
        ours, theirs = socket.socketpair()
        reactor.register(ours, EVENT_READ, lambda event: (ours.close(), theirs.close()))
        reactor.unregister(ours)
        reactor.register(theirs, EVENT_READ, lambda event: None)
        reactor.unregister(theirs)
        ours.close()
        theirs.close()
        reactor.stop()

    def reach(self, where, handler=None):
        if where == "message" and self.act is not None:
            self.act(handler)

    with nothing_left(), made(ReactorTCPServer, style, act=staticmethod(upheaval), reach=reach) as server:
        with Thread_of(server) as rounds, connected(server) as peer:
            assert peer.ask(b"now\n") == b"NOW\n"
            assert rounds.went_on.wait(PATIENCE), "it did not stop"
            assert peer.ask(b"then\n") == b"THEN\n"
            for each in (server, server.second):
                with connected(each) as newcomer:
                    assert newcomer.ask(b"new\n") == b"NEW\n"
        server.second.server_close()


class Thread_of:
    """Serves, and serves again once it was stopped."""

    def __init__(self, server):
        self.server = server
        self.went_on = threading.Event()

    def __enter__(self):
        self._thread = Thread(self._serve)
        return self

    def __exit__(self, *exc_info):
        self.server.shutdown()
        self._thread.finish()

    def _serve(self):
        self.server.serve_forever(FOREVER)
        self.went_on.set()
        self.server.serve_forever(FOREVER)


# Stopping and closing, from everywhere

KINDS = [
    pytest.param(TCPServer, id="TCP"),
    pytest.param(ThreadingTCPServer, id="ThreadingTCP"),
    pytest.param(ThreadingUnixStreamServer, id="ThreadingUnix"),
    pytest.param(ReactorTCPServer, id="ReactorTCP"),
    pytest.param(ReactorUnixStreamServer, id="ReactorUnix"),
    pytest.param(ForkingTCPServer, id="ForkingTCP", marks=FORKS),
]
IN_CHILD = {"setup", "message", "finish", "handle_error", "finish_request", "shutdown_request"}
HOOKS = (
    "get_request",
    "verify_request",
    "process_request",
    "finish_request",
    "shutdown_request",
    "close_request",
    "service_actions",
    "handle_error",
)


@pytest.fixture
def own_signals():
    before = signal.getsignal(signal.SIGUSR1)
    yield
    signal.signal(signal.SIGUSR1, before)


def hooked(name):
    def hook(self, *args):
        self.reach(name)
        return getattr(super(type(self), self), name)(*args)

    return hook


@pytest.mark.parametrize("what", ["shutdown", "server_close"])
@pytest.mark.parametrize(
    "where", [*HOOKS, "setup", "message", "finish", "another thread", "a signal handler", "before", "a timer"]
)
@pytest.mark.parametrize("cls", KINDS)
def test_a_server_may_be_stopped_and_closed_from_everywhere_and_twice(cls, where, what, own_signals):
    if cls is ForkingTCPServer and where in IN_CHILD:
        pytest.skip("there it is a copy of the server")
    if where == "a timer" and not hasattr(cls, "reactor"):
        pytest.skip("it has no timers")
    reached = []

    def stop(server):
        reached.append(where)
        getattr(server, what)()
        getattr(server, what)()

    def reach(self, name, handler=None):
        if name == where and not reached:
            stop(self)

    with nothing_left(), made(cls, States, reach=reach, **{name: hooked(name) for name in HOOKS}) as server:
        signal.signal(signal.SIGUSR1, lambda *args: stop(server))
        if where == "a timer":
            server.reactor.call_later(0.05, stop, server)
        if where == "before":
            stop(server)
        client = Thread(visit, server, where, stop)
        if where == "before" and what == "server_close":
            with pytest.raises(ValueError, match="descriptor"):
                server.serve_forever(0.02)
        else:
            server.serve_forever(0.02)
        server.server_close()
        client.finish()
        assert reached
        if isinstance(server.server_address, str):
            assert not os.path.exists(server.server_address)


def visit(server, where, stop):
    """Ask one line; be there until it is reached."""
    try:
        with connected(server) as peer:
            peer.send(b"fail\n" if where == "handle_error" else b"a line\n")
            if where == "a signal handler":
                peer.line()
                os.kill(os.getpid(), signal.SIGUSR1)
            elif where == "another thread":
                peer.line()
                stopping = Thread(stop, server)
            peer.half_close()  # nobody has to wait for this one
            peer.rest()
        if where == "another thread":
            stopping.finish()
    except OSError:
        pass  # it was gone before it came to this one


@pytest.mark.parametrize("cls", [ThreadingTCPServer, ReactorTCPServer])
def test_two_threads_may_close_a_server_at_once(cls):
    """The one that serves, at the end of its ``with``, and another: whoever comes first."""
    finished = []

    class Handler(States):
        def reach(self, where):
            if where == "finish":
                finished.append(self)

    class Server(cls):
        request_queue_size = 100

    for _ in range(40):
        finished.clear()
        with nothing_left():
            server = Server(("127.0.0.1", 0), Handler)
            with server:
                serve = Thread(serve_and_close, server)
                peers = [connected(server) for _ in range(20)]
                for peer in peers:
                    assert peer.ask(b"a line\n") == b"A LINE\n"
                    if cls is ThreadingTCPServer:
                        peer.half_close()  # which waits for its threads
                server.server_close()
                serve.finish()
            assert len(finished) == len(set(finished)) == 20
            for peer in peers:
                with peer:
                    assert peer.rest() == b""


def serve_and_close(server):
    with server:
        server.serve_forever(FOREVER)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("cls", [TCPServer, ThreadingTCPServer, ReactorTCPServer])
def test_a_server_that_serves_again_at_once_lets_nobody_wait_for_ever(cls, threads):
    """A `shutdown` waits for the end of the serving that it has ended, and not for that of the next."""

    def serve():
        while not over.is_set():
            server.serve_forever(FOREVER)

    def stop():
        for _ in range(300):
            server.shutdown()

    over = threading.Event()
    with nothing_left(), made(cls, States) as server:
        serving_thread = Thread(serve)
        stopping = [Thread(stop) for _ in range(threads)]
        try:
            for thread in stopping:
                thread.join(PATIENCE / 4)
                assert not thread.is_alive(), "shutdown() does not return"
        finally:
            over.set()
            deadline = time.monotonic() + PATIENCE
            while any(thread.is_alive() for thread in (serving_thread, *stopping)):
                assert time.monotonic() < deadline
                server._lifecycle.request_stop()  # without waiting
                time.sleep(0.001)


# Work that takes long, here and elsewhere


@pytest.mark.parametrize("style", [StateRequestHandler, AsyncStreamRequestHandler])
def test_debug_mode_names_the_handler_that_held_up_the_loop_wherever_it_did(style, caplog):
    class Slow(style):
        def dawdle(self, where):
            if self.server.slow == where:
                clock.advance(0.3)

        def setup(self):
            super().setup()
            self.dawdle("setup")

        def start(self):
            self.expect(Line(), self.answer)

        def answer(self, line):
            self.dawdle("message")
            self.write(line.upper())

        async def handle(self):
            async for line in self.rfile:
                self.dawdle("message")
                self.wfile.write(line.upper())

        def finish(self):
            self.dawdle("finish")

    clock = ManualClock()
    with Reactor(clock=clock, debug=True) as reactor, made(ReactorTCPServer, Slow, slow=None) as server:
        reactor.register(server)
        for where in ("setup", "message", "finish"):
            server.slow = where
            with connected(server) as peer:
                peer.send(b"a line\n")
                peer.half_close()
                until_served(reactor, peer)
            name = "Slow ('127.0.0.1', "
            (line,) = [record.getMessage() for record in caplog.records]
            assert name in line and "held up the loop for 300 ms" in line, where
            caplog.clear()


def until_served(reactor, peer):
    """Take turns until it has its answer and the server has forgotten it."""
    for _ in range(100):
        reactor.handle_events(0.1)
        if reactor.requests.counters.accepted and not reactor.requests:
            assert peer.rest() == b"A LINE\n"
            return
    raise AssertionError("the connection stays")


@pytest.mark.parametrize("style", [StateRequestHandler, AsyncStreamRequestHandler])
def test_work_that_outlives_its_peer_holds_up_nobody_and_is_gone_after_closing(style):
    begun, may_end, results = threading.Event(), threading.Event(), []

    def work():
        begun.set()
        assert may_end.wait(PATIENCE)
        return "late"

    class Handler(style):
        def start(self):
            self.expect(Line(), self.answer)

        def answer(self, line):
            if line == b"work\n":
                self.offload(work, then=results.append)
            else:
                self.write(line.upper())

        async def handle(self):
            async for line in self.rfile:
                if line == b"work\n":
                    results.append(await self.offload(work))
                self.wfile.write(line.upper())

    with nothing_left(), serving(ReactorTCPServer, Handler) as server, connected(server) as bystander:
        with connected(server) as peer:
            peer.send(b"work\nx" + bytes(100_000))  # unread, it makes the end a reset
            assert begun.wait(PATIENCE)
            peer.socket.shutdown(socket.SHUT_RDWR)
        assert bystander.ask(b"meanwhile\n") == b"MEANWHILE\n"
        server.reactor.call_soon_threadsafe(end_the_held, server)
        assert bystander.ask(b"after\n") == b"AFTER\n"
        may_end.set()
        assert bystander.ask(b"later\n") == b"LATER\n"
    assert results == []


def end_the_held(server):
    for row in server.reactor.requests:
        if row.held:
            row.abort()


# A fork inside a handler

FORKING = """
import os, signal, subprocess, sys
from reactor import *

def act(self, line):
    self.write(line.upper())
    if line == b"fork\\n" and not os.fork():
        try:
            child(self)
        finally:
            if sys.argv[2] not in ("unwinds", "raises", "returns"):
                os._exit(0)
    elif line == b"fork\\n":
        self.write(b"FROM THE PARENT\\n")

def child(self):
    way = sys.argv[2]
    if way == "ends":
        os._exit(0)
    if way == "executes":
        os.execv(sys.executable, [sys.executable, "-c", ""])
    if way == "unwinds":
        sys.exit(0)
    if way == "raises":
        raise LookupError("in the child")
    if way == "calls":
        server, reactor = self.server, self.reactor
        for call in (
            self.close, self.abort, server.shutdown, server.server_close, reactor.stop, reactor.close,
            reactor.handle_events,
            lambda: reactor.unregister(server), lambda: self.write(b"FROM THE CHILD\\n"),
        ):
            try:
                call()
            except RuntimeError:
                pass

class States(StateRequestHandler):
    def start(self):
        self.expect(Line(), self.answer)

    def answer(self, line):
        act(self, line)

class Coroutine(AsyncStreamRequestHandler):
    async def handle(self):
        async for line in self.rfile:
            act(self, line)

with ReactorUnixStreamServer(sys.argv[3], globals()[sys.argv[1]]) as server:
    parent = os.getpid()
    server.drain_on(signal.SIGTERM)
    server.reactor.on_signal(signal.SIGCHLD, lambda: os.waitpid(-1, os.WNOHANG))
    print("ready", flush=True)
    server.serve_forever()
    if os.getpid() == parent:
        print("returned", flush=True)
"""


@pytest.mark.parametrize("style", ["States", "Coroutine"])
@pytest.mark.parametrize("way", ["ends", "executes", "calls", "unwinds", "raises", "returns"])
def test_a_forked_child_does_its_parents_connections_no_harm(way, style, tmp_path):
    path = str(tmp_path / "socket")
    with program(FORKING, style, way, path) as process:
        process.stdout.readline()
        with Peer(path) as bystander:
            assert bystander.ask(b"before\n") == b"BEFORE\n"
            with Peer(path) as peer:
                for _ in range(3):
                    peer.send(b"one\nfork\ntwo\n")
                    replies = [peer.line() for _ in range(4)]
                    assert replies == [b"ONE\n", b"FORK\n", b"FROM THE PARENT\n", b"TWO\n"]
                    assert bystander.ask(b"during\n") == b"DURING\n"
                peer.half_close()
                assert peer.rest() == b""
            assert os.path.exists(path)
            with Peer(path) as newcomer:
                assert newcomer.ask(b"new\n") == b"NEW\n"
            assert bystander.ask(b"after\n") == b"AFTER\n"
        process.send_signal(signal.SIGTERM)
        status, out, _ = ended(process)  # what its children say is their own affair
        assert (status, out) == (0, "returned\n")
