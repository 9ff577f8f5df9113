"""Proves what a classic server does when `get_request` fails: it rests if it must, and always comes back."""

from __future__ import annotations

import errno
import logging
import os
from contextlib import ExitStack
from itertools import pairwise

import pytest

from reactor import StreamRequestHandler, TCPServer
from tests.support.clock import ManualClock
from tests.support.selecting import ScriptedSelector
from tests.support.servers import FORKS, Peer, Thread, connected, ended, hosts, made, program, running


class Upper(StreamRequestHandler):
    """Lines in capitals."""

    def handle(self):
        for line in self.rfile:
            self.wfile.write(line.upper())


class Served(StreamRequestHandler):
    """Waits for nobody, for the clock stands still meanwhile."""

    def handle(self):
        self.wfile.write(b"served\n")


FULL = [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM]


class Scene:
    """A server with a client that waits, in a time of its own: what waits in a selector takes none.

    `get_request` raises what stands in *errors*, one after the other. `tries`: when it was called.
    """

    def __init__(self, monkeypatch, server, errors):
        self.clock = ManualClock()
        self.server = server
        self.errors = list(errors)
        self.tries = []
        self.timeouts = 0
        scene = self

        class Selector(ScriptedSelector):
            def __init__(self):
                super().__init__(scene.clock)

            def select(self, timeout=None):
                self.ready = {} if scene.served else {server.fileno(): 1}
                assert len(self.waits) < 1000, "it spins"
                if timeout == 0:
                    scene.clock.advance(1e-6)
                return super().select(timeout)

        self.served = False
        monkeypatch.setattr("reactor.base._ServerSelector", Selector)
        monkeypatch.setattr("reactor.base.time", self.clock)
        monkeypatch.setattr("reactor.base.monotonic", self.clock)
        monkeypatch.setattr("reactor.listening.monotonic", self.clock)
        self._get_request = server.get_request
        server.get_request = self.get_request
        server.handle_timeout = self.handle_timeout

    def get_request(self):
        self.tries.append(self.clock.now)
        if self.errors:
            raise self.errors.pop(0)
        self.served = True
        return self._get_request()

    def handle_timeout(self):
        self.timeouts += 1

    def serve_until_served(self, beyond=0.0):
        """`serve_forever` until somebody was served, and *beyond* seconds more."""
        until = []

        def service_actions():
            if self.served:
                until.append(until[0] if until else self.clock.now + beyond)
                if self.clock.now >= until[0]:
                    self.server.shutdown()

        self.server.service_actions = service_actions
        self.server.serve_forever(0.5)

    def pauses(self):
        return [later - earlier for earlier, later in pairwise(self.tries)]


@pytest.fixture
def scene(monkeypatch):
    with made(TCPServer, Served) as server, connected(server) as peer:

        def make(errors):
            scene = Scene(monkeypatch, server, errors)
            scene.peer = peer
            return scene

        yield make


def warnings_of(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


@pytest.mark.parametrize("way", ["serve_forever", "handle_request"])
@pytest.mark.parametrize("code", FULL, ids=errno.errorcode.get)
def test_it_rests_longer_each_time_and_then_serves(code, way, scene):
    scene = scene([OSError(code, os.strerror(code))] * 7)
    if way == "serve_forever":
        scene.serve_until_served()
    else:
        calls = 0
        while not scene.served:
            scene.server.handle_request()
            calls += 1
        assert calls == 8  # each failure ends a call, as in socketserver
    assert scene.pauses() == pytest.approx([0.005, 0.01, 0.02, 0.04, 0.08, 0.1, 0.1])
    assert scene.peer.line() == b"served\n"
    assert not scene.timeouts


def test_handle_request_times_out_while_it_rests(scene):
    scene = scene([OSError(errno.EMFILE, "too many")])
    scene.server.timeout = 0.002
    scene.server.handle_request()
    begin = scene.clock.now
    scene.server.handle_request()
    assert scene.timeouts == 1 and len(scene.tries) == 1
    assert 0.002 <= scene.clock.now - begin < 0.005
    while not scene.served:
        scene.server.handle_request()
    assert scene.peer.line() == b"served\n"


def test_service_actions_goes_on_and_serving_can_be_ended_while_it_rests(scene):
    scene = scene([OSError(errno.EMFILE, "too many")] * 1000)
    calls = []

    def service_actions():
        calls.append(scene.clock.now)
        if len(calls) == 30:
            scene.server.shutdown()

    scene.server.service_actions = service_actions
    scene.server.serve_forever(0.5)
    assert len(calls) == 30 and 10 < len(scene.tries) <= 30


@pytest.mark.parametrize("way", ["serve_forever", "handle_request"])
@pytest.mark.parametrize(
    ("error", "times"),
    [
        (ConnectionAbortedError(errno.ECONNABORTED, "gone"), 100),
        (ConnectionResetError(errno.ECONNRESET, "gone"), 100),
        (OSError(errno.EHOSTUNREACH, "gone"), 100),
        (InterruptedError(errno.EINTR, "a signal"), 100),
        (BlockingIOError(errno.EAGAIN, "another process has taken it"), 100),
        (OSError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number"), 15),
        (OSError(0, "Error"), 15),
        (OSError("EOF occurred in violation of protocol"), 15),
    ],
    ids=repr,
)
def test_an_error_of_one_request_delays_nobody(error, times, way, scene):
    scene = scene([error] * times)
    if way == "serve_forever":
        scene.serve_until_served()
    while not scene.served:
        scene.server.handle_request()
    assert len(scene.tries) == times + 1
    assert set(scene.pauses()) == {0.0}
    assert scene.peer.line() == b"served\n"


def test_failures_are_one_line_a_second_with_a_count(scene, caplog):
    scene = scene([OSError(errno.EMFILE, "too many")] * 7)
    scene.serve_until_served(beyond=2.0)
    first, count = warnings_of(caplog)
    assert "cannot take a request" in first and "too many" in first and "TCPServer" in first
    assert "6 more" in count
    assert not any(record.exc_info for record in caplog.records)


@pytest.mark.parametrize(
    "error", [ConnectionAbortedError(errno.ECONNABORTED, "gone"), BlockingIOError(errno.EAGAIN, "taken")]
)
def test_what_happens_every_day_is_no_warning(error, scene, caplog):
    caplog.set_level(logging.DEBUG, "reactor")
    scene = scene([error] * 3)
    scene.serve_until_served()
    assert not warnings_of(caplog)
    lines = [record.getMessage() for record in caplog.records]
    assert ["gone" in line for line in lines] == ([] if isinstance(error, BlockingIOError) else [True] * 3)


@pytest.mark.parametrize("error", [ValueError("not of the system"), KeyboardInterrupt()], ids=repr)
def test_what_is_no_oserror_passes_through_as_in_socketserver(error, scene):
    scene = scene([error])
    with pytest.raises(type(error)):
        scene.server.serve_forever()
    with pytest.raises(type(error)):
        scene.errors.append(error)
        scene.server.handle_request()


# The real thing


@pytest.mark.parametrize("cls", hosts("TCP", "UnixStream", kinds=("", "Threading")))
def test_shutdown_of_a_resting_server_takes_effect_at_once(cls, caplog):
    tried = []

    def get_request(self):
        tried.append(self)
        raise OSError(errno.EMFILE, "too many")

    with made(cls, Upper, get_request=get_request) as server, running(server) as thread, connected(server):
        while len(tried) < 3:
            thread.join(0.01)
        Thread(server.shutdown).finish()
    assert len(warnings_of(caplog)) == 1


HUNGRY = """
import os, resource, sys, threading, time
from reactor import *

class Upper(StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line.upper())

class Server(globals()[sys.argv[1]]):
    tries = 0
    closed = threading.Event()

    def close_request(self, request):
        super().close_request(request)
        self.closed.set()

    def get_request(self):
        self.tries += 1
        return super().get_request()

def control():
    # A word each: take all descriptors there are; say what the server did meanwhile; give them back; stop.
    sys.stdin.readline()
    if sys.argv[1] != "ThreadingTCPServer":
        server.closed.wait(10)
    hoard = []
    try:
        while True:
            hoard.append(os.dup(0))
    except OSError:
        print("none left", flush=True)
    sys.stdin.readline()
    tries, used, begin = server.tries, sum(os.times()[:4]), time.monotonic()
    threading.Event().wait(1.0)
    seconds = time.monotonic() - begin
    print((sum(os.times()[:4]) - used) / seconds, (server.tries - tries) / seconds, flush=True)
    sys.stdin.readline()
    for fd in hoard:
        os.close(fd)
    sys.stdin.readline()
    server.shutdown()

resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
with Server(("127.0.0.1", 0), Upper) as server:
    threading.Thread(target=control).start()
    print(server.server_address[1], flush=True)
    server.serve_forever(60)
"""


@FORKS
@pytest.mark.parametrize("name", ["TCPServer", "ThreadingTCPServer", "ForkingTCPServer"])
def test_a_process_out_of_descriptors_rests_harms_nobody_and_serves_on_when_it_has_some(name):
    with program(HUNGRY, name) as process, ExitStack() as stack:

        def say(line):
            process.stdin.write(line + "\n")
            process.stdin.flush()

        address = ("127.0.0.1", int(process.stdout.readline()))
        early = stack.enter_context(Peer(address))
        assert early.ask(b"first\n") == b"FIRST\n"
        if name == "TCPServer":  # which serves nobody else until then
            early.half_close()
            assert early.rest() == b""
        say("take all")
        assert process.stdout.readline() == "none left\n"
        late = stack.enter_context(Peer(address))
        late.send(b"last\n")
        say("measure")
        used, tries = map(float, process.stdout.readline().split())
        assert used < 0.3, "the standard library's takes all of it"
        assert 1 <= tries < 50
        if name != "TCPServer":
            assert early.ask(b"still here\n") == b"STILL HERE\n"
        say("give back")
        assert late.line() == b"LAST\n"
        if name != "TCPServer":
            assert early.ask(b"and later\n") == b"AND LATER\n"
        stack.close()
        say("stop")
        status, out, err = ended(process)
        assert (status, out) == (0, "")
        assert "cannot take a request" in err and "Traceback" not in err
        assert err.count("\n") <= 6
