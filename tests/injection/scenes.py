"""Servers at work, each with two peers that stay and others that come and go."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import reactor as package
from reactor import (
    AsyncStreamRequestHandler,
    Limits,
    Line,
    Reactor,
    StateRequestHandler,
    StreamRequestHandler,
)
from tests.injection.invariant import PATIENCE
from tests.injection.ledger import Ledger
from tests.injection.table import Fault
from tests.support.servers import FOREVER, Peer, Thread, looping, made

#: How many stay.
STAYING = 2
#: How many come and go until the fault must have happened.
ROUNDS = 16


class Told:
    """Writes down that `setup` succeeded and that `finish` was called."""

    def setup(self) -> None:
        super().setup()  # type: ignore[misc]
        self.server.ledger.say("setup", self.request)  # type: ignore[attr-defined]

    def finish(self) -> None:
        self.server.ledger.say("finish", self.request)  # type: ignore[attr-defined]
        super().finish()  # type: ignore[misc]


class StateUpper(Told, StateRequestHandler):
    def start(self):
        self.expect(Line(), self.shout)

    def shout(self, line):
        self.write(line.upper())


class AsyncUpper(Told, AsyncStreamRequestHandler):
    async def handle(self):
        async for line in self.rfile:
            self.wfile.write(line.upper())
            await self.wfile.drain()


class BlockingUpper(Told, StreamRequestHandler):
    disable_nagle_algorithm = True

    def handle(self):
        for line in self.rfile:
            self.wfile.write(line.upper())


class OffloadingUpper(StateUpper):
    """The first line is answered at once: those who are there already have started no thread."""

    def shout(self, line):
        if self.completed:
            self.offload(bytes.upper, line, then=self.write)
        else:
            self.write(line.upper())


class AskingUpper(StateUpper):
    """Wants to know who is there, as handlers do."""

    def setup(self):
        self.request.getpeername()
        self.request.getsockname()
        super().setup()


class Once(StateUpper):
    """Answers and hangs up, as many protocols do."""

    def shout(self, line):
        super().shout(line)
        self.close()


#: Kind of server: its class, its handler, and whether it runs in a reactor beside others.
KINDS: dict[str, tuple[str, type, bool]] = {
    "state": ("ReactorTCPServer", StateUpper, False),
    "coroutine": ("ReactorTCPServer", AsyncUpper, False),
    "unix": ("ReactorUnixStreamServer", StateUpper, False),
    "guest": ("ReactorTCPServer", StateUpper, True),
    "once": ("ReactorTCPServer", Once, False),
    "offloading": ("ReactorTCPServer", OffloadingUpper, False),
    "asking": ("ReactorTCPServer", AskingUpper, False),
    "threading": ("ThreadingTCPServer", BlockingUpper, False),
    "unix-threading": ("ThreadingUnixStreamServer", StateUpper, False),
    "forking": ("ForkingTCPServer", BlockingUpper, False),
    "registered": ("ThreadingTCPServer", BlockingUpper, True),
}


def handlers_own(kind: str, fault: Fault) -> bool:
    """Whether a handler has to deal with *fault* itself: what it calls raises. A blocking one sends and
    receives as in socketserver."""
    if kind == "asking":
        return True
    calls = fault.call in ("setsockopt", "recv", "send") and fault.name != "EAGAIN"
    return calls and KINDS[kind][1] is BlockingUpper


class StreamScene:
    """A server of one of `KINDS`, in a thread. `lost`: peers that were not answered."""

    def __init__(self, server: Any, thread: Thread, staying: int, stack: contextlib.ExitStack) -> None:
        self.server = server
        self.thread = thread
        self.lost: list[Peer] = []
        self._stack = stack
        self._staying: list[Peer] = []
        for _ in range(staying):
            peer = self._come()
            assert self.ask(peer), "not served before anything failed"
            self._staying.append(peer)
        if not staying:
            self.round()
            assert not self.lost, "not served before anything failed"

    def round(self) -> None:
        """Those who stay ask, and somebody comes, asks, and goes."""
        for peer in list(self._staying):
            if not self.ask(peer):
                self._staying.remove(peer)
                self._leave(peer)
        peer = self._come()
        self.ask(peer)
        second = self._come() if getattr(self.server, "max_threads", None) else None
        if second is None:
            self._leave(peer)
            return
        second.send(b"line\n")  # there is no room yet: the server rests
        self._leave(peer)
        self._hear(second)
        self._leave(second)

    def peers(self) -> list[Peer]:
        """Those who are there."""
        return list(self._staying)

    def go(self) -> None:
        """Everybody leaves."""
        for peer in self._staying:
            self._leave(peer)
        self._staying.clear()

    def _come(self) -> Peer:
        peer = self._stack.enter_context(Peer(self.server.server_address))
        peer.socket.settimeout(PATIENCE)
        return peer

    def ask(self, peer: Peer) -> bool:
        try:
            peer.send(b"line\n")
        except ConnectionError:
            pass  # heard in a moment
        return self._hear(peer)

    def _hear(self, peer: Peer) -> bool:
        try:
            answered = peer.line() == b"LINE\n"
        except ConnectionError:
            answered = False
        if not answered:
            self.lost.append(peer)
        return answered

    def _leave(self, peer: Peer) -> None:
        with contextlib.suppress(OSError):
            peer.half_close()
            assert peer.rest() == b""
        peer.__exit__()

    # What is left of whom

    @property
    def _ledger(self) -> Ledger:
        return self.server.ledger

    def unended(self) -> set[int]:
        return self._ledger.numbers("taken") - self._ledger.numbers("end")

    def complaints(self) -> list[str]:
        return self._ledger.complaints("end", self._ledger.numbers("taken"))

    def rows(self) -> int:
        reactor = getattr(self.server, "_reactor", None)
        return 0 if reactor is None else len(reactor.requests)


def told(cls: Any, ledger: Ledger) -> dict[str, Any]:
    """Attributes of a subclass of the server class *cls* that keeps a ledger."""

    def get_request(self: Any) -> Any:
        request, client_address = cls.get_request(self)
        ledger.take(request)
        return request, client_address

    def shutdown_request(self: Any, request: Any) -> None:
        ledger.say("end", request)
        cls.shutdown_request(self, request)

    return {"ledger": ledger, "get_request": get_request, "shutdown_request": shutdown_request}


@contextlib.contextmanager
def stream_scene(kind: str) -> Iterator[StreamScene]:
    """A server at work, its loop in a thread of its own."""
    name, handler, in_reactor = KINDS[kind]
    cls = getattr(package, name)
    # So few connections that those are noticed that stay counted after their end.
    attributes: dict[str, Any] = {"limits": Limits(max_connections=8 if kind == "forking" else 5)}
    if kind == "registered":
        attributes["max_threads"] = STAYING + 1
    with contextlib.ExitStack() as stack:
        ledger = Ledger()
        stack.callback(ledger.close)
        server = stack.enter_context(made(cls, handler, **attributes, **told(cls, ledger)))
        if in_reactor:
            reactor = stack.enter_context(Reactor())
            reactor.register(server)
            thread = stack.enter_context(looping(reactor))
        else:
            thread = Thread(server.serve_forever, FOREVER)
            stack.callback(thread.finish)
            stack.callback(server.shutdown)
        peers = stack.enter_context(contextlib.ExitStack())
        yield StreamScene(server, thread, 0 if kind == "once" else STAYING, peers)
