"""State machines: each framing, held requests, offloaded work, the hooks of a connection."""

from concurrent.futures import ProcessPoolExecutor
from typing import assert_type

from reactor import (
    Available,
    Exactly,
    LengthPrefixed,
    Line,
    Netstring,
    ReactorTCPServer,
    RequestState,
    StateRequestHandler,
    ToEOF,
    Until,
)
from reactor.framing import Buffer, Framing, Place

PROCESSES = ProcessPoolExecutor(2)


class Upper(StateRequestHandler):
    def start(self) -> None:
        self.expect(Line(limit=65536), self.shout)

    def shout(self, line: bytes) -> None:
        self.write(line.upper())


class Sized(StateRequestHandler):
    """A length on a line, then that many bytes."""

    def start(self) -> None:
        self.expect(Line(limit=20, keepends=False), self.length)

    def length(self, line: bytes) -> None:
        self.expect(Exactly(int(line)), self.body)

    def body(self, data: bytes) -> None:
        self.write(memoryview(data)[::-1])
        self.write(bytearray(b"\n"))


class LoggedIn(StateRequestHandler):
    """What requests begin with changes once somebody has said who he is."""

    user = b""

    def start(self) -> None:
        self.write(b"Who? ")
        self.expect(Netstring(limit=100), self.login)

    def login(self, name: bytes) -> None:
        self.user = name
        self.begin_with(LengthPrefixed(2, "little"), self.command)

    def command(self, data: bytes) -> None:
        if data == b"quit":
            self.close()
        elif data == b"sum":
            self.offload(sum, range(1_000_000), then=self.answer, executor=PROCESSES)
        else:
            self.hold()
            self.reactor.call_later(1, self.late, data)

    def answer(self, total: int) -> None:
        self.write(str(total).encode())

    def late(self, data: bytes) -> None:
        self.write(data)
        self.release()


class Words(Framing):
    """A framing of one's own."""

    def locate(self, buffer: Buffer, start: int, scanned: int) -> Place | None:
        end = buffer.find(b" ", scanned)
        return None if end < 0 else (start, end, end + 1)


class EveryHook(StateRequestHandler):
    def setup(self) -> None:
        super().setup()
        self.messages: list[bytes] = []

    def start(self) -> None:
        self.expect(Until(b"\r\n\r\n", keepends=False), self.messages.append)
        self.begin_with(Words(), self.messages.append)
        self.begin_with(ToEOF(limit=1000), self.messages.append)
        self.begin_with(Available(), self.take)

    def take(self, data: bytes) -> None:
        self.pause_reading()
        assert_type(self.owed, int)
        assert_type(self.state, RequestState)
        assert_type(self.held, bool)

    def handle_drained(self) -> None:
        self.resume_reading()

    def handle_eof(self) -> None:
        self.write_eof()

    def handle_exception(self, exc: BaseException) -> None:
        super().handle_exception(exc)
        self.abort()

    def finish(self) -> None:
        print(self.client_address, self.messages, self.age, self.waiting_for)


class Wrong(StateRequestHandler):
    """What the types refuse."""

    def start(self) -> None:
        self.expect(Line, self.shout)  # type: ignore[arg-type]
        self.expect(Line(), self.no_state)  # type: ignore[arg-type]
        self.write("text")  # type: ignore[arg-type]
        self.offload(print, then="reply")  # type: ignore[arg-type]

    def shout(self, line: bytes) -> None: ...

    def no_state(self, text: str) -> None: ...


def main() -> None:
    for handler in (Upper, Sized, LoggedIn, EveryHook):
        with ReactorTCPServer(("localhost", 0), handler) as server:
            server.serve_forever()
