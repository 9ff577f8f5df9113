"""The framings: where, in a stream of bytes, does the next message end?

A framing is immutable and does no I/O, so one object may serve any number of connections and
threads. It answers one question, `locate`: given a buffer and the place where the message
starts, where does the message lie? "Incomplete" is `None` and is told apart from an empty
message, which is a message. Whatever way the bytes are split, the same messages come out.

Work is linear in the bytes: `locate` is told how far the last look went (*scanned*) and looks
on from there. A framing whose message is everything up to and including a separator says so
in `separator`, and the machine then finds it in C, without a call into here.

A limit counts the bytes of one whole frame, its separator or prefix included for `Line` and
`Until`, the body alone for `LengthPrefixed` and `Netstring`, whose prefix is small. It holds
for complete messages too, so what is refused does not depend on how the bytes were split.
"""

import sys
from dataclasses import dataclass, field
from typing import ClassVar, Literal

#: first byte of the message, one past its last byte, one past the whole frame
Place = tuple[int, int, int]
Buffer = bytes | bytearray


class FramingError(ValueError):
    """What the peer sent is no message of this framing, or one over its limit.

    The text names the framing, its limit and the figures; a connection closes with it as its
    one log line. Raised into a coroutine, which may answer and go on to close.
    """


class Framing:
    """Says where the next message ends. Derive from it for a framing of your own."""

    __slots__ = ()

    #: Set where the message is all up to and including these bytes, at most `limit` in all; ``b""`` where
    #: it is whatever there is.
    separator: bytes | None = None
    #: Bytes of the longest message.
    limit: int = sys.maxsize
    #: Bytes without which there can be no message, so that `locate` need not look. A request begins with
    #: its first byte, so only what comes later in one may do with none.
    least: int = 1

    def locate(self, buffer: Buffer, start: int, scanned: int) -> Place | None:
        """Where the message that starts at *start* lies, or `None` while it is incomplete.

        Bytes before *scanned* were looked at by an earlier call. Raises `FramingError` for what
        can no longer become a message. Must not keep or change *buffer*.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say where a message ends: define locate()")

    def locate_at_eof(self, buffer: Buffer, start: int) -> Place | None:
        """The same when no more bytes will come and `locate` said `None`; `None` drops the rest."""
        return None

    def rescan(self, buffer: Buffer, start: int) -> int:
        """Where to look on when more bytes have come: what *scanned* will be."""
        return start

    def too_long(self, size: int) -> FramingError:
        """The error for *size* bytes that are, or can only become, a message over `limit`."""
        return FramingError(
            f"{type(self).__name__} over its limit of {self.limit} bytes ({size} or more received)"
        )


def _check_limit(name: str, limit: int) -> None:
    _check_whole(name, "limit", limit)
    if limit < 1:
        raise ValueError(f"{name}(limit=...) must be at least 1 byte, not {limit!r}")


def _check_whole(name: str, argument: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name}({argument}=...) takes a whole number of bytes, not {value!r}")


class _Separated(Framing):
    """What `Line` and `Until` share: a message ends at a separator and keeps or strips it."""

    __slots__ = ()

    @property
    def _end(self) -> bytes:
        raise NotImplementedError

    def locate(self, buffer: Buffer, start: int, scanned: int) -> Place | None:
        found = buffer.find(self._end, scanned)
        if found < 0:
            # Its end would need at least one byte more, so a full buffer is already too long.
            if len(buffer) - start >= self.limit:
                raise self.too_long(len(buffer) - start)
            return None
        end = found + len(self._end)
        if end - start > self.limit:
            raise self.too_long(end - start)
        return start, self._message_end(buffer, start, found, end), end

    def _message_end(self, buffer: Buffer, start: int, found: int, end: int) -> int:
        raise NotImplementedError

    def rescan(self, buffer: Buffer, start: int) -> int:
        return max(start, len(buffer) - len(self._end) + 1)


@dataclass(frozen=True, slots=True)
class Line(_Separated):
    r"""A line that ends in ``\n`` or ``\r\n``, as `io` reads them.

    *limit*: bytes of the longest line, its end included. *keepends*: as in `bytes.splitlines`,
    but kept by default, as ``readline`` does. *partial*: at the end of input an unterminated
    rest is a line too; otherwise a state machine drops it.
    """

    limit: int = 65536
    keepends: bool = True
    partial: bool = False
    separator: bytes | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check_limit("Line", self.limit)
        object.__setattr__(self, "separator", b"\n" if self.keepends else None)

    @property
    def _end(self) -> bytes:
        return b"\n"

    def _message_end(self, buffer: Buffer, start: int, found: int, end: int) -> int:
        if self.keepends:
            return end
        return found - 1 if found > start and buffer[found - 1] == 0x0D else found

    def locate_at_eof(self, buffer: Buffer, start: int) -> Place | None:
        end = len(buffer)
        return (start, end, end) if self.partial and end > start else None


@dataclass(frozen=True, slots=True)
class Until(_Separated):
    r"""All up to *end* (``Until(b"\r\n\r\n")``), which is kept unless *keepends* is false.

    *limit*: bytes of the longest message, its end included.
    """

    end: bytes
    limit: int = 65536
    keepends: bool = True
    separator: bytes | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.end, bytes) or not self.end:
            raise TypeError(f"Until(end) takes at least one byte, as bytes, not {self.end!r}")
        _check_limit("Until", self.limit)
        if self.limit < len(self.end):
            raise ValueError(f"Until(limit=...) must leave room for its end {self.end!r}, not {self.limit!r}")
        object.__setattr__(self, "separator", self.end if self.keepends else None)

    @property
    def _end(self) -> bytes:
        return self.end

    def _message_end(self, buffer: Buffer, start: int, found: int, end: int) -> int:
        return end if self.keepends else found


@dataclass(frozen=True, slots=True)
class Exactly(Framing):
    """The next *size* bytes; ``Exactly(0)`` is an empty message at once."""

    size: int
    least: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check_whole("Exactly", "size", self.size)
        if self.size < 0:
            raise ValueError(f"Exactly(size) must be 0 or more bytes, not {self.size!r}")
        object.__setattr__(self, "least", self.size)

    def locate(self, buffer: Buffer, start: int, scanned: int) -> Place | None:
        end = start + self.size
        return (start, end, end) if len(buffer) >= end else None


@dataclass(frozen=True, slots=True)
class Available(Framing):
    """Whatever has come, at least one byte and at most *limit* (what ``recv`` gives)."""

    limit: int = 262144
    separator: ClassVar[bytes | None] = b""  # type: ignore[misc]

    def __post_init__(self) -> None:
        _check_limit("Available", self.limit)

    def locate(self, buffer: Buffer, start: int, scanned: int) -> Place | None:
        end = min(len(buffer), start + self.limit)
        return (start, end, end) if end > start else None


@dataclass(frozen=True, slots=True)
class LengthPrefixed(Framing):
    """A length in *size* bytes (1, 2, 4 or 8; unsigned, *byteorder* as in `int.from_bytes`), then the
    message, which is that long and comes without the length. *limit*: bytes of the longest message."""

    size: int = 4
    byteorder: Literal["big", "little"] = "big"
    limit: int = 1 << 20

    def __post_init__(self) -> None:
        _check_whole("LengthPrefixed", "size", self.size)
        if self.size not in (1, 2, 4, 8):
            raise ValueError(f"LengthPrefixed(size) is 1, 2, 4 or 8 bytes, not {self.size!r}")
        if self.byteorder not in ("big", "little"):
            raise ValueError(f"LengthPrefixed(byteorder=...) is 'big' or 'little', not {self.byteorder!r}")
        _check_limit("LengthPrefixed", self.limit)

    def locate(self, buffer: Buffer, start: int, scanned: int) -> Place | None:
        first = start + self.size
        if len(buffer) < first:
            return None
        length = int.from_bytes(buffer[start:first], self.byteorder)
        if length > self.limit:
            raise FramingError(f"LengthPrefixed over its limit of {self.limit} bytes ({length} announced)")
        end = first + length
        return (first, end, end) if len(buffer) >= end else None


@dataclass(frozen=True, slots=True)
class Netstring(Framing):
    """A netstring, ``5:hello,`` (https://cr.yp.to/proto/netstrings.txt); the message is the string.

    *limit*: bytes of the longest string. A leading zero is refused, as the specification has it.
    """

    limit: int = 65536

    def __post_init__(self) -> None:
        _check_limit("Netstring", self.limit)

    def locate(self, buffer: Buffer, start: int, scanned: int) -> Place | None:
        most = len(str(self.limit)) + 1
        colon = buffer.find(b":", start, start + most)
        digits = bytes(buffer[start : colon if colon >= 0 else start + most])
        # Judged as the digits come, so that nonsense is refused at its first byte.
        if (digits and not digits.isdigit()) or colon == start or (digits[:1] == b"0" and len(digits) > 1):
            raise FramingError(f"Netstring with a bad length: {digits!r}")
        if colon < 0:
            if len(digits) >= most:
                raise FramingError(
                    f"Netstring over its limit of {self.limit} bytes ({most} digits announced)"
                )
            return None
        length = int(digits)
        if length > self.limit:
            raise FramingError(f"Netstring over its limit of {self.limit} bytes ({length} announced)")
        first = colon + 1
        end = first + length
        if len(buffer) <= end:
            return None
        if buffer[end] != 0x2C:
            raise FramingError(f"Netstring without its comma: {bytes(buffer[end : end + 1])!r} instead")
        return first, end, end + 1


@dataclass(frozen=True, slots=True)
class ToEOF(Framing):
    """Everything until the peer ends its input (``shutdown(SHUT_WR)``); may be empty.

    *limit*: bytes of the longest message.
    """

    limit: int = 1 << 20

    def __post_init__(self) -> None:
        _check_limit("ToEOF", self.limit)

    def locate(self, buffer: Buffer, start: int, scanned: int) -> Place | None:
        if len(buffer) - start > self.limit:
            raise self.too_long(len(buffer) - start)
        return None

    def locate_at_eof(self, buffer: Buffer, start: int) -> Place | None:
        return start, len(buffer), len(buffer)
