"""A key-value store that speaks Redis's protocol: python examples/kv.py, then redis-cli -p 5639.

Or redis-benchmark -p 5639 -t ping,set,get,incr -P 16, or any client of Redis 5. Strings that may expire,
in memory, one database; also inline commands (PING, with nc), without quotes. No persistence, no
passwords, no publishing, no scripts, and no bound on the size of the store.

A request is a command: a line with the number of its arguments (its name is the first), then each as a
line with its length and that many bytes. Two framings of our own say where it ends. `Command` is all of
it, which is how it nearly always comes. While less is there it is the first line alone; then come
`Arguments`, as many as are whole, so that nothing is looked at over and over while the rest is on its
way. A length over the limit is refused before what it announces has come.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from common import serve
from kv_commands import LARGEST, OK, Store, text

from reactor import Framing, FramingError, Limits, Line, ReactorTCPServer, StateRequestHandler

STAR = ord("*")
CRLF = b"\r\n"
count_at = re.compile(rb"\*(\d{1,7})\r\n").match
length_at = re.compile(rb"\$(\d{1,7})\r\n").match
#: What may yet become one of these.
BEGUN = re.compile(rb"[*$](\d{0,7}|\d{1,7}\r)")
INLINE = Line(limit=65536)
MOST_ARGUMENTS = LARGEST // len(b"$0\r\n\r\n")

Buffer = bytes | bytearray
Place = tuple[int, int, int]


def check_begun(buffer: Buffer, start: int, mark: bytes, what: str) -> None:
    """Refuse what never becomes a line of *mark* and a number."""
    begun = bytes(buffer[start : start + 9])
    if begun and not begun.startswith(mark):
        raise FramingError(f"expected {text(mark)}, got {text(begun[:1])}")
    if begun and not BEGUN.fullmatch(begun):
        raise FramingError(f"invalid {what} length")


def whole_arguments(buffer: Buffer, start: int, count: int) -> tuple[int, int]:
    """How many of *count* arguments are all there, and where the last of them ends."""
    have = len(buffer)
    for whole in range(count):
        line = length_at(buffer, start)
        if line is None:
            check_begun(buffer, start, b"$", "bulk")
            return whole, start
        end = line.end() + int(line[1]) + 2
        if end > have:
            if int(line[1]) > LARGEST:
                raise FramingError("invalid bulk length")
            return whole, start
        if buffer[end - 2 : end] != CRLF:
            raise FramingError("bulk string without its end")
        start = end
    return count, start


def split_arguments(data: bytes) -> Iterator[bytes]:
    """The arguments, all of them whole, that *data* consists of."""
    end = 0
    while line := length_at(data, end):
        end = line.end() + int(line[1]) + 2
        yield data[line.end() : end - 2]


class Command(Framing):
    """A whole command, its first line while less than all of it is there, or an inline command."""

    least = 1

    def locate(self, buffer: Buffer, start: int, scanned: int) -> Place | None:
        line = count_at(buffer, start)
        if line is None:
            if buffer[start] != STAR:
                return INLINE.locate(buffer, start, scanned)
            check_begun(buffer, start, b"*", "multibulk")
            return None
        count = int(line[1])
        if count > MOST_ARGUMENTS:
            raise FramingError("invalid multibulk length")
        whole, end = whole_arguments(buffer, line.end(), count)
        if whole < count:
            end = line.end()
        return start, end, end

    def rescan(self, buffer: Buffer, start: int) -> int:
        return INLINE.rescan(buffer, start)


@dataclass(frozen=True)
class Arguments(Framing):
    """At least one and at most *count* arguments: those that are all there."""

    count: int

    def locate(self, buffer: Buffer, start: int, scanned: int) -> Place | None:
        whole, end = whole_arguments(buffer, start, self.count)
        return (start, end, end) if whole else None


COMMAND = Command()


class KeyValueHandler(StateRequestHandler):
    server: "KeyValueServer"

    def start(self) -> None:
        self.expect(COMMAND, self.command)

    def command(self, data: bytes) -> None:
        """What a request begins with: all of it, or the first line."""
        if data[0] != STAR:
            self.answer(data.split())
            return
        parts = data.split(CRLF)
        count = int(parts[0][1:])
        if len(parts) == 2 * count + 2:  # it is all there, and no argument has an end of line in it
            self.answer(parts[2::2])
        else:
            self.arguments: list[bytes] = []
            self.count = count
            self.more(data[len(parts[0] + CRLF) :])

    def more(self, data: bytes) -> None:
        """More of its arguments."""
        self.arguments += split_arguments(data)
        if len(self.arguments) < self.count:
            self.expect(Arguments(self.count - len(self.arguments)), self.more)
        else:
            arguments, self.arguments = self.arguments, []
            self.answer(arguments)

    def answer(self, arguments: list[bytes]) -> None:
        if not arguments:
            return  # an empty line, as people type
        reply = self.server.store.execute(arguments)
        if reply is None:
            self.write(OK)
            self.close()
        else:
            self.write(reply)

    def handle_exception(self, exc: BaseException) -> None:
        """What makes no sense, or is too large, is answered before the connection is closed."""
        if isinstance(exc, FramingError):
            self.write(f"-ERR Protocol error: {exc}\r\n".encode())
        super().handle_exception(exc)


class KeyValueServer(ReactorTCPServer):
    allow_reuse_address = True
    limits = Limits(max_request_size=LARGEST, idle_timeout=24 * 3600)  # people sit before redis-cli for long

    @cached_property
    def store(self) -> Store:
        return Store(self.reactor.call_later, self.reactor.clock)


if __name__ == "__main__":
    serve(KeyValueServer, KeyValueHandler)
