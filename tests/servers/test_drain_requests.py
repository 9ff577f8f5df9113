"""Proves what becomes of each request while a classic server drains: whatever it is handled by.

The server serves in the test's own thread, which is where signals arrive; a script in another
thread is the client. A request is two lines, and a handler says when it has read the first.
"""

import errno
import logging
import os
import select
import signal
import socket
import threading
import time
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

import pytest

from reactor import (
    AsyncStreamRequestHandler,
    BaseRequestHandler,
    DatagramRequestHandler,
    ForkingMixIn,
    ForkingTCPServer,
    Limits,
    Line,
    StateRequestHandler,
    StreamRequestHandler,
    TCPServer,
    ThreadingMixIn,
    ThreadingTCPServer,
    forking,
    lifecycle,
    limited,
)
from reactor.limited import RequestMeter
from reactor.limits import UNLIMITED
from reactor.log import Throttle
from reactor.net import shut_down
from reactor.table import RequestState
from tests.support.servers import (
    FOREVER,
    FORKS,
    PATIENCE,
    Channel,
    Thread,
    await_threads,
    connected,
    datagram_peer,
    hosts,
    made,
    nothing_left,
)

EVERY = hosts("TCP", "UnixStream", kinds=("", "Threading", "Forking"))
OF_TCP = hosts("TCP", kinds=("", "Threading", "Forking"))
CONCURRENT = hosts("TCP", kinds=("Threading", "Forking"))
HERE = hosts("TCP", "UnixStream", kinds=("", "Threading"))
LARGE = 1 << 20


def reply_to(first, second):
    line = (first.strip() + second.strip()).upper()
    return line * (LARGE // len(line)) if first.startswith(b"large") else line + b"\n"


class Blocking(StreamRequestHandler):
    def handle(self):
        for first in self.rfile:
            self.server.said.say("begun")
            self.wfile.write(reply_to(first, self.rfile.readline()))


class Buffered(Blocking):
    rbufsize = 0
    wbufsize = -1

    def handle(self):
        while first := self.rfile.readline():
            self.server.said.say("begun")
            self.wfile.write(reply_to(first, self.rfile.readline()))
            self.wfile.flush()


class State(StateRequestHandler):
    def start(self):
        self.expect(Line(), self.first)

    def first(self, line):
        self.server.said.say("begun")
        self.expect(Line(), partial(self.second, line))

    def second(self, first, line):
        self.write(reply_to(first, line))


class Coroutine(AsyncStreamRequestHandler):
    async def handle(self):
        async for first in self.rfile:
            self.server.said.say("begun")
            self.wfile.write(reply_to(first, await self.rfile.readline()))
            await self.wfile.drain()


class Bare(BaseRequestHandler):
    """Uses the socket itself, byte by byte."""

    def handle(self):
        while first := self.line():
            self.server.said.say("begun")
            self.request.sendall(reply_to(first, self.line()))

    def line(self):
        line = b""
        while not line.endswith(b"\n") and (byte := self.request.recv(1)):
            line += byte
        return line


KNOWN = [
    pytest.param(Blocking, Limits(), id="files"),
    pytest.param(Buffered, Limits(), id="files-otherwise-buffered"),
    pytest.param(Blocking, Limits(idle_timeout=None), id="files-with-no-end-of-waiting"),
    pytest.param(State, Limits(), id="state"),
    pytest.param(State, None, id="state-without-limits"),
    pytest.param(Coroutine, Limits(), id="coroutine"),
    pytest.param(Coroutine, None, id="coroutine-without-limits"),
]
UNKNOWN = [
    pytest.param(Blocking, None, id="files-without-limits"),
    pytest.param(Bare, Limits(), id="socket"),
    pytest.param(Bare, None, id="socket-without-limits"),
]


def until(condition):
    """A signal that comes just before a wait does not end it: another, of no meaning, does."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        signal.pthread_kill(threading.main_thread().ident, signal.SIGWINCH)
        time.sleep(0.001)


def drained(server):
    os.kill(os.getpid(), signal.SIGUSR1)
    until(lambda: server._lifecycle.draining)


def cut_short(server, peer):
    """A second signal, once the first has been seen to."""
    here = not isinstance(server, ThreadingMixIn | ForkingMixIn)
    until(lambda: here or not server._lifecycle.serving)
    os.kill(os.getpid(), signal.SIGUSR2)
    until(lambda: select.select([peer.socket], [], [], 0)[0])


def begin(server, peer, first=b"one "):
    peer.send(first.strip() + b"\n")
    assert server.said.hear() == "begun"


def gone(peer):
    """Whether the connection ends, without an answer."""
    try:
        return peer.rest() == b""
    except ConnectionResetError:
        return True  # what was sent has not been read


def child_of(server):
    until(lambda: server.active_children)  # a child may be quicker than its parent
    (child,) = server.active_children
    return child


def ask(server, peer):
    begin(server, peer)
    peer.send(b"two\n")
    assert peer.line() == b"ONETWO\n"


def drain(cls, handler, limits, script, **attributes):
    """Serve here until *script*, called with the server and a client in another thread, has it end."""
    with nothing_left():
        raised = _drain(cls, handler, limits, script, attributes)
    if raised is not None:
        raise raised


def _drain(cls, handler, limits, script, attributes):
    with ExitStack() as stack:
        stack.callback(signal.signal, signal.SIGWINCH, signal.signal(signal.SIGWINCH, lambda *_: None))
        stack.callback(await_threads, set(threading.enumerate()))
        said = stack.enter_context(Channel())
        server = stack.enter_context(made(cls, handler, limits=limits, said=said, **attributes))
        server.drain_on(signal.SIGUSR1, signal.SIGUSR2)
        thread = Thread(_talk, server, script)
        try:
            server.serve_forever(FOREVER)
        except SystemExit as exc:
            return exc.with_traceback(None)
        finally:
            thread.finish()
    return None


def _talk(server, script):
    try:
        is_datagram = server.socket_type == socket.SOCK_DGRAM
        with datagram_peer(server) if is_datagram else connected(server) as peer:
            script(server, peer)
    except BaseException:
        server.shutdown()
        raise


def texts(caplog):
    return [(record.levelno, record.getMessage()) for record in caplog.records]


def cut(why, lost=1):
    return [(logging.WARNING, f"draining cut short by {why}: {lost} requests lost")]


@pytest.mark.parametrize("cls", EVERY)
@pytest.mark.parametrize(("handler", "limits"), KNOWN)
def test_an_idle_connection_ends_at_once(cls, handler, limits, caplog):
    def script(server, peer):
        ask(server, peer)
        drained(server)
        assert peer.rest() == b""

    drain(cls, handler, limits, script)
    assert caplog.records == []


@pytest.mark.parametrize("cls", OF_TCP)
@pytest.mark.parametrize(("handler", "limits"), KNOWN)
def test_a_connection_that_comes_in_just_then_ends_at_once(cls, handler, limits, caplog):
    def verify_request(self, request, client_address):
        os.kill(os.getpid(), signal.SIGUSR1)
        return True

    def script(server, peer):
        assert peer.rest() == b""

    drain(cls, handler, limits, script, verify_request=verify_request)
    assert caplog.records == []


@pytest.mark.parametrize("cls", EVERY)
@pytest.mark.parametrize(("handler", "limits"), KNOWN)
def test_a_request_under_way_is_finished_and_answered_whole_and_is_the_last(cls, handler, limits, caplog):
    def script(server, peer):
        begin(server, peer, b"large")
        drained(server)
        peer.send(b"two\n")
        assert peer.rest() == reply_to(b"large", b"two")

    drain(cls, handler, limits, script)
    assert caplog.records == []


@pytest.mark.parametrize("cls", hosts("TCP", "UnixStream", kinds=("Threading", "Forking")))
def test_newcomers_are_refused_while_the_last_requests_are_finished(cls):
    """At once, and not left waiting in the queue of a listener that a child still has."""

    def script(server, peer):
        begin(server, peer)
        drained(server)
        until(lambda: server.fileno() < 0)
        with pytest.raises(ConnectionRefusedError):
            connected(server)
        peer.send(b"two\n")
        assert peer.line() == b"ONETWO\n"

    drain(cls, Blocking, Limits(), script)


class Late(DatagramRequestHandler):
    """Answers when it is told to."""

    def handle(self):
        self.server.said.say("begun")
        self.server.way_out.hear()
        self.wfile.write(self.rfile.read().upper())


@pytest.mark.parametrize("cls", hosts("UDP", "UnixDatagram", kinds=("Threading", "Forking")))
def test_a_datagram_under_way_is_answered(cls):
    """Through the server's one socket, which is not closed before."""

    def script(server, peer):
        peer.send(b"a word")
        assert server.said.hear() == "begun"
        drained(server)
        until(lambda: not server._lifecycle.serving)
        way_out.say("go")
        assert peer.recv(100) == b"A WORD"

    with Channel() as way_out:
        drain(cls, Late, None, script, way_out=way_out)


@pytest.mark.parametrize("cls", OF_TCP)
@pytest.mark.parametrize(("handler", "limits"), UNKNOWN)
def test_a_handler_of_which_nothing_is_known_goes_on(cls, handler, limits, caplog):
    def script(server, peer):
        ask(server, peer)
        drained(server)
        ask(server, peer)

    drain(cls, handler, limits, script)
    assert caplog.records == []


@pytest.mark.parametrize("cls", OF_TCP)
@pytest.mark.parametrize(("handler", "limits"), KNOWN + UNKNOWN)
@pytest.mark.parametrize("cause", ["drain_timeout", "a second signal"])
def test_a_request_that_is_cut_short_is_counted_and_its_connection_ended(cls, handler, limits, cause, caplog):
    """`nothing_left`: its thread or process has ended as well."""

    def script(server, peer):
        begin(server, peer)
        drained(server)
        if cause != "drain_timeout":
            cut_short(server, peer)
        assert gone(peer)

    if cause == "drain_timeout":
        limits = replace(limits or UNLIMITED, drain_timeout=0.05)
    with pytest.raises(SystemExit) as raised:
        drain(cls, handler, limits, script)
    assert raised.value.code == 1
    assert texts(caplog) == cut(cause)


@pytest.mark.parametrize("cls", CONCURRENT)
@pytest.mark.parametrize(("handler", "limits"), KNOWN)
def test_who_was_idle_is_not_counted_as_lost(cls, handler, limits, caplog):
    def script(server, peer):
        ask(server, peer)
        with connected(server) as other:
            begin(server, other)
            drained(server)
            assert peer.rest() == b""
            peer.half_close()
            until(lambda: not isinstance(server, ForkingMixIn) or len(server.active_children) == 1)
            cut_short(server, other)
            assert gone(other)

    with pytest.raises(SystemExit):
        drain(cls, handler, limits, script)
    assert texts(caplog) == cut("a second signal")


@pytest.mark.parametrize("cls", HERE)
@pytest.mark.parametrize("handler", [State, Coroutine])
def test_who_is_only_slow_to_go_when_time_is_up_is_not_lost(cls, handler, caplog):
    def script(server, peer):
        ask(server, peer)
        drained(server)
        assert peer.rest() == b""
        assert ended.wait(PATIENCE)

    ended = threading.Event()

    def handle(self, request, client_address):
        try:
            cls.finish_request(self, request, client_address)
        finally:
            ended.set()

    limits = Limits(drain_timeout=0.05, linger_timeout=3 * PATIENCE)
    drain(cls, handler, limits, script, finish_request=handle)
    assert caplog.records == []


class Parting(StateRequestHandler):
    """Answers at length and closes."""

    def start(self):
        self.expect(Line(), self.answer)

    def answer(self, line):
        self.write(bytes(16 << 20))
        self.close()
        self.server.said.say("begun")


@pytest.mark.parametrize("cls", HERE)
def test_a_reply_that_is_still_owed_is_lost_although_its_connection_is_closing(cls, caplog):
    def script(server, peer):
        begin(server, peer)
        drained(server)
        until(server._lifecycle.shut_down.is_set)
        assert ended.wait(PATIENCE)

    ended = threading.Event()
    with pytest.raises(SystemExit):
        drain(cls, Parting, Limits(drain_timeout=0.05), script, shutdown_request=telling(cls, ended))
    assert texts(caplog) == cut("drain_timeout")


def telling(cls, ended):
    def shutdown_request(self, request):
        cls.shutdown_request(self, request)
        ended.set()

    return shutdown_request


class Busy(StateRequestHandler):
    """Computes, and is let out at last."""

    def start(self):
        self.expect(Line(), self.work)

    def work(self, line):
        self.server.said.say("begun")
        self.server.way_out.wait(PATIENCE)


@pytest.mark.parametrize("cls", hosts("TCP", kinds=("Threading",)))
def test_a_request_that_is_being_worked_on_is_lost(cls, caplog):
    def script(server, peer):
        begin(server, peer)
        drained(server)
        until(lambda: not server._lifecycle.serving)
        os.kill(os.getpid(), signal.SIGUSR2)
        until(lambda: caplog.records)
        way_out.set()

    way_out = threading.Event()
    with pytest.raises(SystemExit):
        drain(cls, Busy, None, script, way_out=way_out)
    assert texts(caplog) == cut("a second signal")


@pytest.mark.parametrize("cls", hosts("TCP", kinds=("Threading",)))
def test_a_request_that_is_complete_is_not_lost_while_its_connection_is_closed(cls, caplog):
    def shutdown_request(self, request):
        self.said.say("complete")
        way_out.wait(PATIENCE)
        cls.shutdown_request(self, request)

    def script(server, peer):
        peer.half_close()
        assert server.said.hear() == "complete"
        drained(server)
        until(lambda: not server._lifecycle.serving)
        os.kill(os.getpid(), signal.SIGUSR2)
        until(lambda: caplog.records)
        way_out.set()

    way_out = threading.Event()
    with pytest.raises(SystemExit):
        drain(cls, Blocking, None, script, shutdown_request=shutdown_request)
    assert texts(caplog) == cut("a second signal", lost=0)


@pytest.mark.parametrize("cls", hosts("TCP", kinds=("Threading",)))
def test_a_thread_that_only_takes_its_time_to_close_is_not_waited_for_after_drain_timeout(cls, caplog):
    def shutdown_request(self, request):
        self.said.say("complete")
        way_out.wait(3 * PATIENCE)
        cls.shutdown_request(self, request)

    def finish_requests(self):
        cls._finish_requests(self)
        finished.set()

    def script(server, peer):
        peer.half_close()
        assert server.said.hear() == "complete"
        drained(server)
        try:
            assert finished.wait(PATIENCE)
        finally:
            way_out.set()

    finished, way_out = threading.Event(), threading.Event()
    hooks = {"shutdown_request": shutdown_request, "_finish_requests": finish_requests}
    drain(cls, Blocking, Limits(drain_timeout=0.05), script, **hooks)
    assert caplog.records == []


@pytest.mark.parametrize("cls", HERE)
def test_nothing_is_kept_of_a_request_that_has_ended(cls):
    def script(server, peer):
        ask(server, peer)
        peer.half_close()
        assert peer.rest() == b""
        until(lambda: not server._under_way._handled)
        drained(server)

    drain(cls, Blocking, Limits(), script)


# A handler that waits for something else


class Deaf(BaseRequestHandler):
    """Waits for a word, and for nothing that its client does."""

    def handle(self):
        self.server.said.say("begun")
        self.server.way_out.hear()
        self.server.said.say("handled")


@pytest.mark.parametrize("cls", hosts("TCP", "UDP", kinds=("",)))
@pytest.mark.parametrize("cause", ["drain_timeout", "a second signal"])
def test_a_handler_in_the_serving_thread_is_ended_whatever_it_waits_for(cls, cause, caplog):
    def script(server, peer):
        peer.send(b"wake up")
        assert server.said.hear() == "begun"
        drained(server)
        if cause != "drain_timeout":
            os.kill(os.getpid(), signal.SIGUSR2)
        until(server._lifecycle.shut_down.is_set)
        assert server.said.silent()

    limits = Limits(drain_timeout=0.05) if cause == "drain_timeout" else None
    with Channel() as way_out, pytest.raises(SystemExit) as raised:
        drain(cls, Deaf, limits, script, way_out=way_out)
    assert raised.value.code == 1
    assert texts(caplog) == cut(cause)


@pytest.mark.parametrize("cls", hosts("TCP", kinds=("Threading",)))
@pytest.mark.parametrize("block_on_close", [True, False])
@pytest.mark.parametrize("limits", [None, Limits()])
def test_threads_that_are_daemons_are_waited_for_too(cls, block_on_close, limits):
    def script(server, peer):
        assert server.said.hear() == "begun"
        drained(server)
        until(lambda: not server._lifecycle.serving)
        assert server.said.silent()
        way_out.say("go")
        told.append(server.said.hear())

    told = []
    with Channel() as way_out:
        attributes = {"daemon_threads": True, "block_on_close": block_on_close, "way_out": way_out}
        drain(cls, Deaf, limits, script, **attributes)
    assert told == ["handled"]


# Children


@FORKS
def test_a_signal_that_a_child_gets_as_soon_as_it_is_made_has_it_drain(monkeypatch):
    """It would be lost, or kill the child, before the child is ready for it."""

    def fork():
        pid = real_fork()
        if not pid:
            os.kill(os.getpid(), signal.SIGUSR1)
        return pid

    def script(server, peer):
        assert peer.rest() == b""  # and not by its death: the child would not have shut down
        drained(server)

    real_fork = os.fork
    monkeypatch.setattr(os, "fork", fork)
    statuses = []
    monkeypatch.setattr(os, "waitpid", partial(collected, os.waitpid, statuses))
    drain(ForkingTCPServer, Blocking, Limits(), script)
    assert statuses == [0]


def collected(waitpid, statuses, child, options):
    pid, status = waitpid(child, options)
    if pid:
        statuses.append(status)
    return pid, status


@FORKS
def test_signals_that_come_in_the_midst_of_a_fork_are_heeded_after_it(monkeypatch, caplog):
    """The fork's hooks would swallow what is raised, and the new child would be forgotten."""

    def fork():
        pid = real_fork()
        if pid:
            for signum in (signal.SIGUSR1, signal.SIGUSR2):
                Thread(os.kill, os.getpid(), signum).finish()
            undone.append(not servers[0]._lifecycle.draining)
        return pid

    def script(server, peer):
        assert gone(peer)

    def verify_request(self, request, client_address):
        servers.append(self)
        return True

    servers, undone = [], []
    real_fork = os.fork
    monkeypatch.setattr(os, "fork", fork)
    with pytest.raises(SystemExit):
        drain(ForkingTCPServer, Bare, Limits(), script, verify_request=verify_request)
    assert undone == [True]
    assert texts(caplog) == cut("a second signal")


@FORKS
def test_a_signal_that_a_child_does_not_notice_is_sent_again(monkeypatch):
    """It came just before the child began to wait, say."""

    def kill(pid, signum):
        if pid != os.getpid():
            sent.append(pid)
        if pid == os.getpid() or len(sent) > 1:
            real_kill(pid, signum)

    def script(server, peer):
        ask(server, peer)
        drained(server)
        assert peer.rest() == b""

    sent = []
    real_kill = os.kill
    monkeypatch.setattr(os, "kill", kill)
    drain(ForkingTCPServer, Blocking, Limits(), script)
    assert len(sent) > 1


@FORKS
def test_a_server_may_be_made_before_its_process_goes_into_the_background():
    with nothing_left(), Channel() as said, made(TCPServer, State, said=said) as server:
        server.drain_on(signal.SIGUSR1)
        child = os.fork()
        if not child:
            status = 1
            try:
                server.serve_forever(FOREVER)
                status = 0
            finally:
                os._exit(status)
        with connected(server) as peer:
            ask(server, peer)
            os.kill(child, signal.SIGUSR1)
            assert peer.rest() == b""
            peer.half_close()
            assert os.waitpid(child, 0)[1] == 0


@FORKS
def test_a_child_ignores_all_signals_but_the_first():
    """At a terminal it gets each twice: from there and from its parent."""

    def script(server, peer):
        begin(server, peer)
        child = child_of(server)
        drained(server)
        for signum in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGUSR1):
            os.kill(child, signum)
        peer.send(b"two\n")
        assert peer.rest() == b"ONETWO\n"

    drain(ForkingTCPServer, Blocking, Limits(), script)


@FORKS
def test_a_child_that_has_ended_and_was_not_collected_yet_is_not_lost(monkeypatch, caplog):
    def sleep(seconds):
        (child,) = children
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        os.kill(os.getpid(), signal.SIGUSR2)

    def script(server, peer):
        ask(server, peer)
        children.append(child_of(server))
        drained(server)
        assert peer.rest() == b""

    children = []
    monkeypatch.setattr(forking, "sleep", sleep)
    with pytest.raises(SystemExit):
        drain(ForkingTCPServer, Blocking, Limits(), script)
    assert texts(caplog) == cut("a second signal", lost=0)


@FORKS
def test_a_child_that_must_not_be_killed_is_not_waited_for(monkeypatch, caplog):
    """It has changed user, say."""

    def kill(pid, signum):
        if signum == signal.SIGKILL:
            raise PermissionError(errno.EPERM, "not yours")
        real_kill(pid, signum)

    def script(server, peer):
        begin(server, peer)
        child = child_of(server)
        os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGUSR2)
        until(lambda: server.active_children is None)
        peer.send(b"two\n")
        assert peer.line() == b"ONETWO\n"
        peer.half_close()
        os.waitpid(child, 0)

    real_kill = os.kill
    monkeypatch.setattr(os, "kill", kill)
    with pytest.raises(SystemExit):
        drain(ForkingTCPServer, Bare, Limits(), script)
    assert texts(caplog) == cut("a second signal", lost=0)


@FORKS
def test_a_child_that_somebody_else_makes_ends_by_the_signal():
    with made(ThreadingTCPServer, Blocking) as server:
        server.drain_on(signal.SIGUSR1)
        child = os.fork()
        if not child:
            os.kill(os.getpid(), signal.SIGUSR1)
            os._exit(0)
        assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGUSR1
        assert not server._lifecycle.draining


# The timer


def locked():
    lock = threading.Lock()
    lock.acquire()
    return lock


def test_a_timer_that_comes_too_late_does_nothing(monkeypatch):
    """The signal may be another's by then, whom it ends."""
    kills = []
    monkeypatch.setattr(signal, "pthread_kill", lambda *args: kills.append(args))
    serving = lifecycle.Lifecycle()
    serving._interrupt_in(0.0, locked(), threading.get_ident(), signal.SIGUSR1)
    assert kills == []
    assert not serving._time_is_up


@pytest.mark.parametrize("heeded", [True, False])
def test_the_timer_sends_its_signal_again_until_it_is_heeded_or_serving_has_ended(heeded, monkeypatch):
    class Done:
        def acquire(self, timeout):
            waits.append(timeout)
            return not heeded and len(waits) == 4

    def kill(thread, signum):
        kills.append((thread, signum))
        assert len(kills) <= 3
        if heeded and len(kills) == 3:
            serving._time_is_up = False

    waits, kills = [], []
    serving = lifecycle.Lifecycle()
    done = serving._done = Done()
    monkeypatch.setattr(signal, "pthread_kill", kill)
    serving._interrupt_in(5.0, done, 4711, signal.SIGUSR1)
    assert kills == [(4711, signal.SIGUSR1)] * 3
    assert waits == [5.0, *[lifecycle.SIGNAL_POLL] * 3]


def test_there_is_no_timer_while_nobody_serves(monkeypatch):
    started = []
    monkeypatch.setattr(lifecycle, "start_new_thread", lambda *args: started.append(args))
    with made(TCPServer, State) as server:
        server.drain_on(signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGUSR1)
        assert server._lifecycle.draining and not started


def test_without_room_for_a_timer_draining_is_only_not_bounded(monkeypatch, caplog):
    def start(function, args):
        raise RuntimeError("can't start new thread")

    def script(server, peer):
        begin(server, peer)
        drained(server)
        peer.send(b"two\n")
        assert peer.line() == b"ONETWO\n"

    monkeypatch.setattr(lifecycle, "start_new_thread", start)
    drain(TCPServer, Blocking, Limits(), script)
    assert caplog.records == []


# Beneath the files


def test_what_comes_while_draining_begins_comes_too_late(monkeypatch):
    def is_ready(sock, seconds, *, writing):
        meter.drain()
        return True

    monkeypatch.setattr(limited, "is_ready", is_ready)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        meter = RequestMeter(ours, Limits(), None, Throttle(), "peer")
        theirs.sendall(b"half")
        assert meter.receive_into(bytearray(10)) == 0
        assert meter.state is RequestState.IDLE


def test_a_connection_is_shut_down_beneath_tls():
    class Tls(socket.socket):
        def shutdown(self, how):
            raise AssertionError("ssl.SSLSocket.shutdown() forgets its keys")

    class Other:
        def shutdown(self, how):
            told.append(how)
            raise OSError(errno.ENOTCONN, "gone")

    told = []
    ours, theirs = socket.socketpair()
    with Tls(fileno=ours.detach()) as tls, theirs:
        shut_down(tls, socket.SHUT_WR)
        assert theirs.recv(1) == b""
    shut_down(Other(), socket.SHUT_RD)
    assert told == [socket.SHUT_RD]
