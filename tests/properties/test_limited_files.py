"""Proves that the files of a handler with limits give what plain ones give, however the bytes come, and
that sizes are counted to the byte: the limit is passed where a plain reader's own count says so."""

from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st

from reactor import Limits
from reactor.limits import LimitExceeded
from tests.properties import examples
from tests.support.clock import ManualClock
from tests.support.machines import cut, places
from tests.unit.test_limited import BUFFERS, FakeSocket, handled

TIMELESS = {"request_timeout": None, "idle_timeout": None, "send_timeout": None}


class Over(Exception):
    """The model's: more bytes came than one request may have."""


class PlainRaw(io.RawIOBase):
    """What comes in these pieces; counts the bytes of a request, of which there may be *most*."""

    def __init__(self, pieces, most):
        self.pieces = list(pieces)
        self.most = most
        self.size = self.taken = 0

    def readable(self):
        return True

    def readinto(self, buffer):
        if not self.pieces:
            return 0
        room = len(buffer)
        if self.most is not None:  # what comes after it may be another request's
            room = min(room, max(1, self.most - self.size))
        data, rest = self.pieces[0][:room], self.pieces[0][room:]
        self.pieces[:1] = [rest] if rest else []
        buffer[: len(data)] = data
        self.taken += len(data)
        self.size += len(data)
        if self.most is not None and self.size > self.most:
            raise Over
        return len(data)


class Plain:
    """The model: a reader of `io`, and how many bytes it has given away."""

    def __init__(self, pieces, most, rbufsize):
        self.raw = PlainRaw(pieces, most)
        size = io.DEFAULT_BUFFER_SIZE if rbufsize < 0 else rbufsize
        self.file = io.BufferedReader(self.raw, size) if size else self.raw
        self.given = 0

    def next_request(self):
        """The request is complete: what was read ahead begins the next."""
        self.raw.size = self.raw.taken - self.given

    def do(self, operation, n):
        if operation == "write":
            self.next_request()
            return n
        if operation == "next":
            self.next_request()
        result = act(self.file, None, operation, n)
        if operation != "peek":
            self.given += result[0] if operation == "readinto" else len(result)
        return result


def act(rfile, wfile, operation, n):
    match operation:
        case "write":
            wfile.write(b"w" * n)
            wfile.flush()
            return n
        case "next":
            return next(rfile, b"")
        case "readinto":
            buffer = bytearray(n)
            count = rfile.readinto(buffer)
            return count, bytes(buffer)
    return getattr(rfile, operation)(n)


_deeds = st.one_of(
    st.tuples(st.just("readline"), st.sampled_from([-1, 0, 1, 5, 100])),
    st.tuples(st.just("read"), st.sampled_from([0, 1, 3, 20])),
    st.tuples(st.just("readinto"), st.sampled_from([0, 1, 9, 30])),
    st.tuples(st.sampled_from(["next", "next", "write", "write"]), st.integers(1, 9)),
)
_buffered_deeds = st.one_of(
    _deeds,
    st.tuples(st.just("read1"), st.sampled_from([-1, 0, 1, 7, 100])),
    st.tuples(st.just("peek"), st.sampled_from([0, 1, 10])),
)
_texts = st.lists(st.sampled_from([b"a", b"bc", b"\n", b"line\n", b"0123456789", b"\n\n"]), max_size=30).map(
    b"".join
)


@examples(250)
@given(
    _texts,
    places,
    st.sampled_from(BUFFERS),
    st.sampled_from([0, -1, 5]),
    st.one_of(st.none(), st.integers(1, 40)),
    st.lists(st.integers(1, 9), max_size=5),
    st.data(),
)
def test_what_is_read_and_what_is_counted_is_the_plain_readers(
    text, where, rbufsize, wbufsize, most, taking, data
):
    pieces = [piece for piece in cut(text, where) if piece]
    deeds = data.draw(st.lists(_buffered_deeds if rbufsize else _deeds, max_size=14))
    plain = Plain(pieces, most, rbufsize)
    sock = FakeSocket(ManualClock(), pieces, taking)

    def handle(handler):
        meter = handler.rfile.meter
        written = 0
        for deed in deeds:
            try:
                expected = plain.do(*deed)
            except Over:
                expected = Over
            try:
                result = act(handler.rfile, handler.wfile, *deed)
            except LimitExceeded as exc:
                result = Over if f"max_request_size: more than {most} bytes" in str(exc) else exc
            assert result == expected, deed
            written += deed[1] if deed[0] == "write" else 0
            assert (meter.received, meter.sent) == (plain.raw.taken, written), deed
            assert b"".join(piece for _, piece in sock.incoming) == b"".join(plain.raw.pieces)
            if result is Over:
                return
            assert meter._size == plain.raw.size, deed

    handled(sock, Limits(max_request_size=most, **TIMELESS), handle, rbufsize=rbufsize, wbufsize=wbufsize)
    assert set(sock.sent) <= set(b"w")
