"""A client is a handler too, of either style."""

from dataclasses import replace
from functools import partial
from typing import Any, assert_type

from reactor import AsyncStreamRequestHandler, Limits, Line, Reactor, StateRequestHandler, connect


class Hello(StateRequestHandler):
    answer = b""

    def start(self) -> None:
        self.write(b"hello\n")
        self.expect(Line(), self.answered)

    def answered(self, line: bytes) -> None:
        self.answer = line
        self.close()

    def handle_exception(self, exc: BaseException) -> None:
        if isinstance(exc, OSError):
            print("no connection to", self.peer, exc)
        else:
            super().handle_exception(exc)

    def finish(self) -> None:
        self.reactor.stop()


class Greeting(AsyncStreamRequestHandler):
    def __init__(self, request: Any, client_address: Any, server: Any, text: bytes) -> None:
        super().__init__(request, client_address, server)
        self.text = text

    async def handle(self) -> None:
        self.wfile.write(self.text)
        print(await self.rfile.readline())


def main() -> None:
    with Reactor() as reactor:
        client = connect(reactor, ("localhost", 5639), Hello)
        assert_type(client, Hello)
        client.write(b"before it is connected\n")
        greeting = connect(reactor, "/tmp/upper.sock", partial(Greeting, text=b"hello\n"))
        assert_type(greeting, Greeting)
        connect(reactor, ("::1", 5639), Hello, limits=replace(Limits(), connect_timeout=1.5))
        reactor.run()
        print(client.answer)
