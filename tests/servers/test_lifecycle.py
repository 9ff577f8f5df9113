"""Proves how servers begin and end: handle_request, shutdown, server_close, draining, full servers."""

import os
import signal
import socket
import subprocess
import threading

import pytest

from reactor import (
    AsyncStreamRequestHandler,
    BaseRequestHandler,
    Limits,
    Line,
    Reactor,
    ReactorMixIn,
    ReactorTCPServer,
    ReactorUDPServer,
    ReactorUnixStreamServer,
    StateRequestHandler,
    TCPServer,
    ThreadingTCPServer,
)
from tests.support.servers import (
    FOREVER,
    PATIENCE,
    Peer,
    Thread,
    connected,
    datagram_peer,
    ended,
    hosts,
    in_loop,
    looping,
    made,
    nothing_left,
    program,
    running,
    serving,
)


class Echo(StateRequestHandler):
    """Lines in capitals."""

    def start(self):
        self.expect(Line(), self.line)

    def line(self, line):
        self.write(line.upper())


class CoroutineEcho(AsyncStreamRequestHandler):
    """The same."""

    async def handle(self):
        async for line in self.rfile:
            self.wfile.write(line.upper())


class EchoDatagram(BaseRequestHandler):
    """The same; an empty one raises."""

    def handle(self):
        data, sock = self.request
        if not data:
            raise LookupError("an empty datagram")
        sock.sendto(data.upper(), self.client_address)


def handler_for(cls):
    return Echo if cls.socket_type == socket.SOCK_STREAM else EchoDatagram


IN_PROCESS = ("", "Threading", "Reactor")
EVERY = hosts("TCP", "UDP", "UnixStream", "UnixDatagram")


# handle_request


@pytest.mark.parametrize("cls", hosts("TCP", "UnixStream"))
def test_handle_request_serves_one_connection(cls):
    with nothing_left(), made(cls, Echo, timeout=PATIENCE) as server:
        for _ in range(2):
            thread = Thread(server.handle_request)
            with connected(server) as peer:
                assert peer.ask(b"a line\n") == b"A LINE\n"
                peer.half_close()
                assert peer.rest() == b""
                thread.finish()


@pytest.mark.parametrize("cls", hosts("UDP", "UnixDatagram"))
def test_handle_request_serves_one_datagram(cls):
    with nothing_left(), made(cls, EchoDatagram, timeout=PATIENCE) as server, datagram_peer(server) as peer:
        for word in (b"one", b"two"):
            peer.send(word)
            server.handle_request()
            assert peer.recv(100) == word.upper()


@pytest.mark.parametrize("cls", EVERY)
def test_handle_request_calls_handle_timeout_when_nobody_comes(cls):
    calls = []

    def handle_timeout(self):
        calls.append(self)

    with made(cls, handler_for(cls), timeout=0.01, handle_timeout=handle_timeout) as server:
        server.handle_request()
        assert calls == [server]


@pytest.mark.parametrize("cls", hosts("TCP", "UDP", kinds=("", "Reactor")))
@pytest.mark.parametrize("trouble", ["refused", "failed"])
def test_handle_request_returns_when_its_request_was_refused_or_failed(cls, trouble):
    def refuse(self, request, client_address):
        return False

    def fail(self, request, client_address):
        raise LookupError("this one")

    def handle_timeout(self):
        raise AssertionError("the request was there")

    hook = {"verify_request": refuse} if trouble == "refused" else {"finish_request": fail}
    with made(cls, handler_for(cls), timeout=1.0, handle_timeout=handle_timeout, **hook) as server:
        if cls.socket_type == socket.SOCK_STREAM:
            with connected(server) as peer:
                server.handle_request()
                assert peer.rest() == b""
        else:
            with datagram_peer(server) as peer:
                peer.send(b"a word")
                server.handle_request()


@pytest.mark.parametrize("handler", [Echo, CoroutineEcho])
def test_handle_request_of_a_reactor_server_serves_those_who_are_there_and_waits_for_a_newcomer(handler):
    with made(ReactorTCPServer, handler, timeout=0.01) as server, connected(server) as early:
        server.handle_request()  # early stays connected, so this times out
        server.timeout = PATIENCE
        thread = Thread(server.handle_request)
        assert early.ask(b"still here\n") == b"STILL HERE\n"
        early.half_close()
        assert early.rest() == b""
        with connected(server) as late:  # it waits for one that it has accepted itself
            assert late.ask(b"and I\n") == b"AND I\n"
            late.half_close()
            assert late.rest() == b""
            thread.finish()


@pytest.mark.parametrize("cls", EVERY)
def test_the_queue_of_a_reactor_server_is_long_and_that_of_a_classic_one_as_in_socketserver(cls):
    assert cls.request_queue_size == (1024 if issubclass(cls, ReactorMixIn) else 5)


# shutdown


@pytest.mark.parametrize("cls", EVERY)
def test_shutdown_from_another_thread_is_immediate_and_the_server_may_serve_again(cls):
    handler = handler_for(cls)
    with nothing_left(), made(cls, handler) as server:
        for _ in range(3):
            with running(server, FOREVER):  # its end is bounded by PATIENCE, far below
                if handler is Echo:
                    with connected(server) as peer:
                        assert peer.ask(b"a line\n") == b"A LINE\n"
                else:
                    with datagram_peer(server) as peer:
                        peer.send(b"a word")
                        assert peer.recv(100) == b"A WORD"


@pytest.mark.parametrize("cls", hosts("TCP", kinds=IN_PROCESS))
def test_shutdown_from_another_thread_waits_for_the_one_that_serves(cls):
    entered, go_on, order = threading.Event(), threading.Event(), []

    def service_actions(self):
        if not entered.is_set():
            entered.set()
            assert go_on.wait(PATIENCE)
            order.append("the server's last work")

    def shut_down():
        server.shutdown()
        order.append("shutdown() returned")

    with made(cls, Echo, service_actions=service_actions) as server:
        serving_thread = Thread(server.serve_forever, 0.01)
        assert entered.wait(PATIENCE)
        other = Thread(shut_down)
        other.join(0.1)
        go_on.set()
        other.finish()
        serving_thread.finish()
    assert order == ["the server's last work", "shutdown() returned"]


@pytest.mark.parametrize("style", [StateRequestHandler, AsyncStreamRequestHandler])
@pytest.mark.parametrize("cls", hosts("TCP", "UnixStream", kinds=IN_PROCESS))
def test_a_handler_may_shut_its_server_down_and_still_answer(cls, style):
    class Stop(style):
        def start(self):
            self.expect(Line(), self.line)

        def line(self, line):
            self.server.shutdown()
            self.write(b"stopping\n")

        async def handle(self):
            await self.rfile.readline()
            self.server.shutdown()
            self.wfile.write(b"stopping\n")

    with made(cls, Stop) as server:
        thread = Thread(server.serve_forever, FOREVER)
        with connected(server) as peer:
            assert peer.ask(b"stop\n") == b"stopping\n"
        thread.finish()


@pytest.mark.parametrize("cls", hosts("TCP", kinds=IN_PROCESS))
def test_the_thread_that_serves_may_shut_down_itself(cls):
    def service_actions(self):
        self.shutdown()

    with made(cls, Echo, service_actions=service_actions) as server:
        Thread(server.serve_forever, 0.01).finish()


@pytest.mark.parametrize("cls", hosts("TCP", "UDP", kinds=IN_PROCESS))
def test_a_signal_handler_may_shut_down_and_it_takes_effect_at_once(cls):
    handler = handler_for(cls)

    def ask_and_signal(server):
        if handler is Echo:
            with connected(server) as peer:
                peer.ask(b"are you there?\n")
        else:
            with datagram_peer(server) as peer:
                peer.send(b"are you there?")
                peer.recv(100)
        os.kill(os.getpid(), signal.SIGUSR1)

    with made(cls, handler) as server:
        previous = signal.signal(signal.SIGUSR1, lambda signum, frame: server.shutdown())
        try:
            thread = Thread(ask_and_signal, server)
            server.serve_forever(FOREVER)
            thread.finish()
        finally:
            signal.signal(signal.SIGUSR1, previous)


@pytest.mark.parametrize("cls", EVERY)
def test_shutdown_before_serving_makes_the_next_serve_forever_return_at_once(cls):
    with nothing_left(), made(cls, handler_for(cls)) as server:
        server.shutdown()
        Thread(server.serve_forever, FOREVER).finish()
        thread = Thread(server.serve_forever, FOREVER)  # but only that one
        if handler_for(cls) is Echo:
            with connected(server) as peer:
                assert peer.ask(b"a line\n") == b"A LINE\n"
        else:
            with datagram_peer(server) as peer:
                peer.send(b"a word")
                assert peer.recv(100) == b"A WORD"
        server.shutdown()
        thread.finish()


@pytest.mark.parametrize("cls", hosts("TCP", "UDP", kinds=IN_PROCESS))
def test_shutdown_is_never_lost_however_early_it_comes(cls):
    for _ in range(50):
        with made(cls, handler_for(cls)) as server:
            thread = Thread(server.serve_forever, FOREVER)
            stopping = Thread(server.shutdown)
            stopping.join(3.0)
            thread.join(3.0)
            assert not stopping.is_alive() and not thread.is_alive()


@pytest.mark.parametrize("handler", [Echo, CoroutineEcho])
@pytest.mark.parametrize("cls", hosts("TCP", "UnixStream", kinds=("Reactor",)))
def test_shutdown_touches_no_connection_and_serving_again_goes_on_with_them(cls, handler):
    with made(cls, handler) as server, running(server), connected(server) as stays:
        assert stays.ask(b"first\nhalf a ") == b"FIRST\n"
        server.shutdown()
        assert len(server.reactor.requests) == 1
        stays.send(b"request\n")
        with running(server):
            assert stays.line() == b"HALF A REQUEST\n"
            assert stays.ask(b"last\n") == b"LAST\n"


@pytest.mark.parametrize("cls", hosts("TCP", kinds=("", "Reactor")))
def test_serve_forever_twice_at_a_time_is_refused(cls):
    with serving(cls, Echo) as server, connected(server) as peer:
        assert peer.ask(b"a line\n") == b"A LINE\n"
        peer.half_close()
        with pytest.raises(RuntimeError, match="running already"):
            server.serve_forever()


# server_close


@pytest.mark.parametrize("cls", hosts("TCP", "UnixStream", kinds=IN_PROCESS))
def test_a_handler_may_close_its_server_and_serving_ends(cls):
    closers = []  # a thread that closes its server is the one that is not joined by that

    class Close(Echo):
        def line(self, line):
            closers.append(threading.current_thread())
            self.server.server_close()
            self.write(b"never\n" if isinstance(self.server, ReactorMixIn) else b"closed\n")

    with nothing_left(), made(cls, Close) as server:
        path = server.server_address
        thread = Thread(server.serve_forever, 0.01)
        with connected(server) as peer:
            # A reactor server's connections are aborted, this one among them.
            assert peer.ask(b"close\n") == (b"" if issubclass(cls, ReactorMixIn) else b"closed\n")
            peer.half_close()
        try:
            thread.finish()
        finally:
            server.shutdown()
        for closer in closers:
            closer.join(PATIENCE)
        if isinstance(path, str):
            assert not os.path.exists(path)


@pytest.mark.parametrize("handler", [Echo, CoroutineEcho])
@pytest.mark.parametrize("cls", hosts("TCP", "UnixStream", kinds=("Reactor",)))
def test_another_thread_may_close_a_reactor_server_and_everything_of_it_goes(cls, handler):
    with nothing_left(), made(cls, handler) as server:
        thread = Thread(server.serve_forever, FOREVER)
        with connected(server) as idle, connected(server) as partial:
            assert idle.ask(b"a line\n") == b"A LINE\n"
            assert partial.ask(b"a line\nhalf a") == b"A LINE\n"
            server.server_close()
            thread.finish()
            assert idle.rest() == partial.rest() == b""
            with pytest.raises(OSError):
                connected(server)
        server.server_close()  # once more does nothing


@pytest.mark.parametrize("cls", EVERY)
def test_closing_twice_and_never_having_served_is_fine(cls):
    with nothing_left(), made(cls, handler_for(cls)) as server:
        server.server_close()
        server.server_close()
        assert server.fileno() == -1


def test_closing_a_server_from_another_thread_returns_even_if_the_loop_is_just_ending():
    """The last turn of the loop may be under way already: nobody would answer any more."""
    ending, asked = threading.Event(), threading.Event()

    class Last(Echo):
        def line(self, line):
            self.server.shutdown()
            self.close()

        def finish(self):  # the closing call comes at the very end of the last turn
            ending.set()
            assert asked.wait(PATIENCE)

    with made(ReactorTCPServer, Last) as server:
        call_soon_threadsafe = server.reactor.call_soon_threadsafe

        def asking(*args):
            call_soon_threadsafe(*args)
            asked.set()

        server.reactor.call_soon_threadsafe = asking
        thread = Thread(server.serve_forever, FOREVER)
        with connected(server) as peer:
            peer.send(b"stop\n")
            assert ending.wait(PATIENCE)
            closing = Thread(server.server_close)
            try:
                closing.join(0.2)
                asked.set()
                thread.finish()
                closing.join(2.0)
                assert not closing.is_alive(), "server_close() waits for a loop that has ended"
            finally:
                asked.set()
                server.reactor.handle_events(0)
                closing.finish()


# Full


@pytest.mark.parametrize(
    ("limits", "name"),
    [
        (Limits(max_connections=2), "max_connections"),
        (Limits(max_connections_per_peer=2), "max_connections_per_peer"),
    ],
)
def test_a_full_server_turns_the_next_connection_away_with_one_line_and_counts_it(limits, name, caplog):
    with (
        serving(ReactorTCPServer, Echo, limits=limits) as server,
        connected(server) as first,
        connected(server) as second,
    ):
        assert first.ask(b"a line\n") == second.ask(b"a line\n") == b"A LINE\n"
        for _ in range(3):
            with connected(server) as refused:
                assert refused.rest() == b""
        assert server.reactor.requests.counters.refused == 3
        assert server.reactor.requests.counters.accepted == 2
        [line] = [record.message for record in caplog.records]
        assert line.startswith("refused ('127.0.0.1', ") and f"{name}: 2 of 2" in line
        first.half_close()
        assert first.rest() == b""
        with connected(server) as next_one:  # there is room again
            assert next_one.ask(b"a line\n") == b"A LINE\n"
        assert second.ask(b"still\n") == b"STILL\n"


def test_connections_that_a_server_refuses_or_fails_to_make_take_up_no_room():
    class Picky(Echo):
        def __init__(self, *args):
            super().__init__(*args)
            if self.server.trouble:
                self.server.trouble -= 1
                raise LookupError("not this one")

    def handle_error(self, request, client_address):
        pass

    with serving(
        ReactorTCPServer, Picky, limits=Limits(max_connections=1), trouble=3, handle_error=handle_error
    ) as server:
        for _ in range(3):
            with connected(server) as peer:
                assert peer.rest() == b""
        with connected(server) as peer:
            assert peer.ask(b"a line\n") == b"A LINE\n"
        assert server.reactor.requests.counters.refused == 0


# Draining, in a real process

DRAINING = """
import signal, sys, threading
from reactor import *

go_on = threading.Event()

class Handler(StateRequestHandler):
    def start(self):
        self.expect(Line(), self.line)

    def line(self, line):
        if line == b"hold\\n":
            self.offload(go_on.wait, then=self.reply)
        else:
            self.write(line.upper())

    def reply(self, result):
        self.write(b"x" * 5_000_000)

def release(event):
    sys.stdin.readline()
    go_on.set()

class Server(ReactorTCPServer):
    limits = Limits(drain_timeout=float(sys.argv[2]))

with Reactor() as shared:
    server = Server(("127.0.0.1", 0), Handler)
    if sys.argv[1] == "shared":
        shared.register(server)
        loop, run = shared, shared.run
    else:
        loop, run = server, server.serve_forever
    loop.drain_on(signal.SIGTERM, signal.SIGINT)
    server.reactor.register(sys.stdin, EVENT_READ, release)
    print(server.server_address[1], flush=True)
    try:
        run()
    finally:
        go_on.set()
        server.server_close()
    print("returned", flush=True)
"""

ways = pytest.mark.parametrize("way", ["alone", "shared"])


class Draining:
    """The program above, with an idle, a partial and a handling connection."""

    def __init__(self, process: subprocess.Popen) -> None:
        self.process = process
        self.address = ("127.0.0.1", int(process.stdout.readline()))
        self.idle, self.partial, self.handling = (Peer(self.address) for _ in range(3))
        assert self.idle.ask(b"one\n") == b"ONE\n"
        assert self.partial.ask(b"two\nhalf a ") == b"TWO\n"
        assert self.handling.ask(b"three\nhold\n") == b"THREE\n"

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        for peer in (self.idle, self.partial, self.handling):
            peer.__exit__()

    def begin(self, signum=signal.SIGTERM):
        """Send the signal; what is idle is closed, and nobody new comes in."""
        self.process.send_signal(signum)
        assert self.idle.rest() == b""
        with pytest.raises(OSError):
            Peer(self.address)


@ways
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_draining_finishes_what_is_partial_and_the_process_ends_well(way, signum):
    with program(DRAINING, way, "60") as process, Draining(process) as clients:
        clients.begin(signum)
        clients.partial.send(b"request\n")
        assert clients.partial.rest() == b"HALF A REQUEST\n"
        process.stdin.write("\n")
        process.stdin.flush()
        assert clients.handling.rest() == b"x" * 5_000_000
        for peer in (clients.idle, clients.partial, clients.handling):
            peer.half_close()
        assert ended(process) == (0, "returned\n", "")


@ways
@pytest.mark.parametrize(("cause", "seconds"), [("a second signal", "60"), ("drain_timeout (0.2 s)", "0.2")])
def test_draining_that_is_cut_short_ends_the_process_with_1_and_counts_what_is_lost(way, cause, seconds):
    with program(DRAINING, way, seconds) as process, Draining(process) as clients:
        clients.begin()
        if cause == "a second signal":
            process.send_signal(signal.SIGTERM)
        assert clients.partial.rest() == clients.handling.rest() == b""
        status, out, err = ended(process)
        assert (status, out) == (1, "")
        assert f"draining cut short by {cause}: 2 partial requests lost" in err
        assert "Traceback" not in err


def test_draining_an_idle_server_is_over_at_once():
    with program(DRAINING, "alone", "60") as process:
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert ended(process) == (0, "returned\n", "")


@pytest.mark.parametrize("kind", [ReactorUnixStreamServer, ThreadingTCPServer, ReactorUDPServer, TCPServer])
def test_after_draining_leaving_the_with_closes_what_was_registered(kind):
    closed = []

    def server_close(self):
        super(type(self), self).server_close()
        closed.append(self)

    with nothing_left(), made(kind, handler_for(kind), server_close=server_close) as server:
        with Reactor() as reactor:
            reactor.register(server, may_block=True)
            with looping(reactor) as thread:
                in_loop(reactor, reactor.drain)
                thread.finish()
        assert closed == [server]
        if isinstance(server.server_address, str):
            assert not os.path.exists(server.server_address)
