"""The reactor itself: servers, timers, descriptors, signals and threads in one loop."""

import os
import selectors
import signal
import socketserver
from concurrent.futures import Future, ThreadPoolExecutor

from reactor import (
    EVENT_READ,
    EVENT_WRITE,
    EventHandler,
    Line,
    Reactor,
    ReactorTCPServer,
    RequestState,
    StateRequestHandler,
    TCPServer,
    Timer,
)


class Upper(StateRequestHandler):
    def start(self) -> None:
        self.expect(Line(), self.shout)

    def shout(self, line: bytes) -> None:
        self.write(line.upper())


class Pipe(EventHandler):
    def __init__(self, reactor: Reactor, fd: int) -> None:
        self.reactor = reactor
        self.fd = fd

    def fileno(self) -> int:
        return self.fd

    def handle_read(self) -> None:
        if not os.read(self.fd, 4096):
            self.close()

    def handle_exception(self, exc: BaseException) -> None:
        super().handle_exception(exc)

    def close(self) -> None:
        self.reactor.unregister(self)
        os.close(self.fd)


def on_readable(events: int) -> None:
    print("readable" if events & EVENT_READ else "writable")


def told(future: "Future[int]") -> None:
    print(future.result())


def report(reactor: Reactor, title: str) -> None:
    print(title, reactor.requests.counters.completed)
    for row in reactor.requests:
        print(row.peer, row.state, row.waiting_for, row.received, row.deadline)
    for seen in reactor.requests.snapshot(reactor.now):
        print(seen.peer, seen.age, seen.remaining)
    print(reactor.requests.by_state(RequestState.READING), reactor.requests.states()[RequestState.IDLE])


def main() -> None:
    reading, writing = os.pipe()
    with Reactor(selectors.SelectSelector(), executor=ThreadPoolExecutor(2), debug=True) as reactor:
        reactor.register(ReactorTCPServer(("", 0), Upper))
        reactor.register(TCPServer(("", 0), None.__class__), may_block=True)
        reactor.register(socketserver.ThreadingTCPServer(("", 0), socketserver.StreamRequestHandler))
        key: selectors.SelectorKey = reactor.register(writing, EVENT_WRITE, on_readable)
        reactor.register(Pipe(reactor, reading))
        reactor.modify(key.fileobj, EVENT_READ | EVENT_WRITE)
        timer: Timer = reactor.call_every(60, report, reactor, "every minute")
        timer.cancel()
        reactor.call_later(1.5, reactor.stop)
        reactor.call_at(reactor.now + 1, reactor.stop)
        reactor.call_soon(print, "soon", end="")  # type: ignore[call-arg]
        reactor.call_soon_threadsafe(print, "from anywhere")
        reactor.offload(len, "abc", then=told)
        reactor.on_signal(signal.SIGHUP, report, reactor, "hung up")
        reactor.drain_on(signal.SIGTERM, signal.SIGINT)
        reactor.handle_events(0)
        reactor.run()
