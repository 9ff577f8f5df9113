"""Strategies: framings with any parameters, and bytes that nearly make sense to them."""

from __future__ import annotations

from hypothesis import strategies as st

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

_ENDS = [b"a", b"ab", b"aa", b"aab", b"aba", b"\r\n", b"\r\n\r\n", b"\0"]

lines = st.builds(Line, limit=st.integers(1, 12), keepends=st.booleans(), partial=st.booleans())
untils = st.builds(Until, st.sampled_from(_ENDS), st.integers(4, 12), st.booleans())
exactlies = st.one_of(st.integers(1, 9), st.integers(1, 40)).map(Exactly)
availables = st.integers(1, 12).map(Available)
prefixed = st.builds(
    LengthPrefixed, st.sampled_from([1, 2, 4, 8]), st.sampled_from(["big", "little"]), st.integers(1, 12)
)
netstrings = st.integers(1, 120).map(Netstring)
to_eofs = st.integers(1, 40).map(ToEOF)

#: Every framing; limits are so small that they are often passed.
framings = st.one_of(lines, untils, exactlies, availables, prefixed, netstrings, to_eofs)
#: Those whose messages do not depend on how the bytes came.
determined = st.one_of(lines, untils, exactlies, prefixed, netstrings, to_eofs)


def framed(framing: Framing, payload: bytes) -> bytes:
    """*payload* as a peer sends it that means one message, whether or not that is allowed."""
    match framing:
        case Line():
            return payload.replace(b"\n", b".") + b"\n"
        case Until(end=end):
            return payload.replace(end, b"") + end
        case Exactly(size=size):
            return payload[:size].ljust(size, b".")
        case LengthPrefixed(size=size, byteorder=order):
            return len(payload).to_bytes(size, order) + payload
        case Netstring():
            return b"%d:%s," % (len(payload), payload)
    return payload


def fitting(framing: Framing, payload: bytes) -> bytes:
    """What a peer sends that means *payload*, or as much of it as the framing's limit allows."""
    match framing:
        case Line(limit=limit):
            payload = payload[: limit - 1]
        case Until(end=end, limit=limit):
            payload = payload[: limit - len(end)]
        case Exactly():
            pass
        case _:
            payload = payload[: framing.limit]
    return framed(framing, payload)


_SNIPPETS = [b"a", b"b", b"\r", b"\n", b"\r\n", b"\0", b"\1", b"2:ab,", b"0:,", b"11:", b"3", b":", b"01"]
_payloads = st.one_of(st.binary(max_size=14), st.sampled_from([b"", b"a" * 11, b"ab\r\n", b"\r\n\r"]))


@st.composite
def talk(draw: st.DrawFn, framing: Framing) -> bytes:
    """Mostly messages of *framing*, sometimes something else."""
    pieces = st.one_of(
        _payloads.map(lambda payload: framed(framing, payload)),
        _payloads.map(lambda payload: framed(framing, payload)),
        _payloads.map(lambda payload: framed(framing, payload)[:-1] + b"a"),
        st.sampled_from(_SNIPPETS),
        st.binary(max_size=4),
    )
    return b"".join(draw(st.lists(pieces, max_size=8)))
