"""The framings once more, as plainly as they can be said: slow, and told all the bytes each time.

What `reactor.framing` and `reactor.machine` find is compared with what is found here.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from reactor.framing import (
    Available,
    Exactly,
    Framing,
    LengthPrefixed,
    Line,
    Netstring,
    ToEOF,
    Until,
)


class Found(NamedTuple):
    """A message, and how many bytes of the input it takes up."""

    message: bytes
    used: int


class Refused(NamedTuple):
    """What can't become a message."""


class Incomplete(NamedTuple):
    """Perhaps a message, when more has come; `least` is how long it is bound to be at least."""

    least: int = 0


Answer = Found | Refused | Incomplete


def look(framing: Framing, data: bytes) -> Answer:
    """What *data* begins with."""
    match framing:
        case Line() | Until():
            return _look_for_end(framing, data)
        case Exactly(size=size):
            return Found(data[:size], size) if len(data) >= size else Incomplete(size)
        case Available(limit=limit):
            return Found(data[:limit], len(data[:limit])) if data else Incomplete(1)
        case LengthPrefixed(size=size, byteorder=order, limit=limit):
            if len(data) < size:
                return Incomplete(1)
            length = int.from_bytes(data[:size], order)
            return _body(data, size, length, limit, b"")
        case Netstring(limit=limit):
            if whole := re.match(rb"(0|[1-9][0-9]*):", data):
                return _body(data, whole.end(), int(whole[1]), limit, b",")
            promising = re.fullmatch(rb"(0|[1-9][0-9]*)?", data)
            return Incomplete(1) if promising and len(data) <= len(str(limit)) else Refused()
        case ToEOF(limit=limit):
            return Refused() if len(data) > limit else Incomplete(1)
    raise AssertionError(f"no model of {framing!r}")


def look_at_end(framing: Framing, rest: bytes) -> bytes | None:
    """The message that the end of input makes of an incomplete *rest*, if any."""
    match framing:
        case ToEOF():
            return rest
        case Line(partial=True):
            return rest or None
    return None


def _look_for_end(framing: Line | Until, data: bytes) -> Answer:
    end = framing.end if isinstance(framing, Until) else b"\n"
    before, found, _ = data.partition(end)
    if len(before + found) > framing.limit:
        return Refused()
    if not found:
        return Refused() if len(data) >= framing.limit else Incomplete(1)
    if framing.keepends:
        return Found(before + end, len(before + end))
    stripped = before.removesuffix(b"\r") if isinstance(framing, Line) else before
    return Found(stripped, len(before + end))


def _body(data: bytes, first: int, length: int, limit: int, after: bytes) -> Answer:
    """A message of *length* bytes from *first* on, and what has to come after it."""
    if length > limit:
        return Refused()
    end = first + length
    whole = end + len(after)
    if len(data) < whole:
        return Incomplete(1)
    return Found(data[first:end], whole) if data[end:whole] == after else Refused()


def messages(framing: Framing, data: bytes, eof: bool = False) -> tuple[list[bytes], bool]:
    """All messages of one framing in *data*, and whether something after them is refused."""
    found = []
    while data:
        answer = look(framing, data)
        if isinstance(answer, Refused):
            return found, True
        if isinstance(answer, Incomplete):
            break
        found.append(answer.message)
        data = data[answer.used :]
    if eof:
        last = look_at_end(framing, data)
        if last is not None:
            found.append(last)
    return found, False


class Conversation:
    """What of one peer's bytes a machine should have made: the bytes that were taken in, how far
    they were understood, and how much of the present request there was before.

    Every message that the machine delivers is checked, in `took`, against what the bytes say.
    """

    def __init__(self, max_request_size: int | None) -> None:
        self.data = b""
        self.eof = False
        self.most = max_request_size
        self.request = 0  # bytes of this request that were taken
        self.open = False  # a request is under way that expects more

    def complete(self) -> None:
        """The request is complete."""
        self.open = False
        self.request = 0

    def next(self, framing: Framing) -> Answer:
        """What comes next, if nothing keeps it back."""
        if not self.data and not self.open and not self.eof and framing != Exactly(0):
            return Incomplete(1)  # a request begins with its first byte
        answer = look(framing, self.data)
        if self.most is None or isinstance(answer, Refused):
            return answer
        if isinstance(answer, Found):
            return Refused() if self.request + answer.used > self.most else answer
        if self.eof:
            return answer
        size = self.request + max(len(self.data), answer.least)
        return Refused() if size > self.most else answer

    def last(self, framing: Framing) -> bytes | None:
        """What the end of input makes of the rest."""
        rest = look_at_end(framing, self.data) if self.eof else None
        if rest is not None and self.most is not None and self.request + len(rest) > self.most:
            return None
        return rest

    def took(self, framing: Framing, message: bytes) -> None:
        """The machine has delivered *message*: was it the right one?"""
        answer = self.next(framing)
        if isinstance(answer, Found):
            assert message == answer.message, f"{framing}: {message!r} instead of {answer.message!r}"
            used = answer.used
        else:
            assert isinstance(answer, Incomplete), f"{framing}: {message!r} of what is to be refused"
            assert message == self.last(framing), f"{framing}: {message!r} of an incomplete {self.data!r}"
            used = len(self.data)
        self.data = self.data[used:]
        self.request += used
        self.open = True
