"""Proves that a client hears of each error of each call, ends once, and harms no other client of its loop."""

from __future__ import annotations

import contextlib
import itertools
import os
import socketserver
import tempfile
from functools import partial

import pytest

from reactor import Line, Reactor, StateRequestHandler, connect
from tests.injection.faults import Faults
from tests.injection.invariant import holds_at_the_end, holds_at_work, until, watching
from tests.injection.ledger import Ledger
from tests.injection.scenes import ROUNDS
from tests.injection.table import faults
from tests.support.servers import SHORT, in_loop, looping, running


class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            with contextlib.suppress(ConnectionError):
                self.wfile.write(line)


class TCPEcho(socketserver.ThreadingTCPServer):
    daemon_threads = False


class UnixEcho(socketserver.ThreadingUnixStreamServer):
    daemon_threads = False


class Caller(StateRequestHandler):
    """Says a line, hears it, and hangs up."""

    def __init__(self, *args, ledger, number):
        self.ledger, self.number = ledger, number
        super().__init__(*args)

    def tell(self, word):
        self.ledger.write(word, self.number)

    def setup(self):
        super().setup()
        self.tell("setup")

    def start(self):
        self.expect(Line(), self.heard)
        self.write(b"hello\n")

    def heard(self, line):
        assert line == b"hello\n"
        self.tell("heard")
        self.close()

    def handle_exception(self, exc):
        self.tell("failed")
        super().handle_exception(exc)

    def finish(self):
        self.tell("finish")

    def handle_close(self):
        self.tell("closed")
        super().handle_close()


class ClientScene:
    """A reactor in a thread whose clients come and go. `lost`: those that were not answered."""

    def __init__(self, reactor, thread, address, ledger):
        self.reactor = reactor
        self.thread = thread
        self.lost = []
        self._address = address
        self._ledger = ledger
        self._numbers = itertools.count(1)
        self._made = set()
        self.round()

    def round(self):
        """Two at a time."""
        pair = [next(self._numbers), next(self._numbers)]
        for number in pair:
            self._made.add(number)
            factory = partial(Caller, ledger=self._ledger, number=number)
            in_loop(self.reactor, connect, self.reactor, self._address, factory)
        until(lambda: self._ledger.numbers("closed") >= self._made, "a client did not end")
        self.lost += [number for number in pair if not self._ledger.read()["heard", number]]

    def unheard(self):
        """Those that ended without an answer and were not told why."""
        return set(self.lost) - self._ledger.numbers("failed")

    def unended(self):
        return self._made - self._ledger.numbers("closed")

    def complaints(self):
        return self._ledger.complaints("closed", self._made)

    def rows(self):
        return len(self.reactor.requests)


@contextlib.contextmanager
def client_scene(layer, echo):
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        address = ("127.0.0.1", 0) if echo is TCPEcho else os.path.join(folder, "socket")
        server = stack.enter_context(echo(address, Echo))
        stack.enter_context(running(server, SHORT))
        ledger = Ledger()
        stack.callback(ledger.close)
        reactor = stack.enter_context(Reactor())
        thread = stack.enter_context(looping(reactor))
        layer.threads = {thread.ident}
        yield ClientScene(reactor, thread, server.server_address, ledger)


CASES = [
    *[(TCPEcho, fault) for fault in faults("connect", "getsockopt", "register", "close", "modify")],
    *[(UnixEcho, fault) for fault in faults("connect", "recv", "send", "close", turn=1)],
    *[(TCPEcho, fault) for fault in faults("connect", "getpeername", "setsockopt", turn=2)],
]

#: Before the connection is there, whatever fails has to be heard of.
CONNECTING = {"connect", "getsockopt", "getpeername", "register"}


@pytest.mark.parametrize(("echo", "fault"), CASES, ids=lambda value: getattr(value, "__name__", str(value)))
def test_a_client_hears_of_it(echo, fault, monkeypatch):
    layer = Faults(monkeypatch)
    if fault.call == "modify":
        layer.refusing = "send"
    with watching() as watch, client_scene(layer, echo) as scene:
        layer.arm(fault)
        for _ in range(ROUNDS):
            scene.round()
            if layer.fired:
                break
        holds_at_work(scene, layer, 0 if fault.harmless else 1)
        if fault.call in CONNECTING:
            assert not scene.unheard(), "a client failed and was not told"
        holds_at_the_end(scene, watch, silent=fault.silent)


@pytest.mark.parametrize("count", [1, 3])
def test_a_full_queue_of_a_unix_listener_is_a_failure_and_no_connection(count, monkeypatch):
    """It says EAGAIN, which is no `EINPROGRESS`: nothing is under way."""
    layer = Faults(monkeypatch)
    with watching(), contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        path = os.path.join(folder, "socket")
        server = stack.enter_context(UnixEcho(path, Echo, bind_and_activate=False))
        server.server_bind()
        server.socket.listen(0)
        ledger = Ledger()
        stack.callback(ledger.close)
        reactor = stack.enter_context(Reactor())
        layer.threads = set()
        first = connect(reactor, path, partial(Caller, ledger=ledger, number=0))
        for number in range(1, count + 1):
            connect(reactor, path, partial(Caller, ledger=ledger, number=number))
        for _ in range(10):
            reactor.handle_events(0.01)
        assert ledger.numbers("setup") == {0}
        assert ledger.numbers("failed") == ledger.numbers("closed") == set(range(1, count + 1))
        first.abort()
