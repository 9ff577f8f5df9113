"""The targets: functions of bytes that raise where something is not as the plain model has it."""

from __future__ import annotations

import errno
from collections.abc import Callable

from reactor.events import EVENT_READ, EVENT_WRITE
from reactor.framing import (
    Available,
    Exactly,
    Framing,
    FramingError,
    LengthPrefixed,
    Line,
    Netstring,
    ToEOF,
    Until,
)
from tests.fuzz.source import Source
from tests.properties import naive, streams
from tests.properties.performers import CoroutinePerformer, StatePerformer
from tests.properties.scripts import converse
from tests.properties.stage import Stage, Step
from tests.support.machines import cut, messages_of

_ENDS = (b"a", b"ab", b"aa", b"aab", b"\r\n", b"\r\n\r\n")


def framing_of(source: Source) -> Framing:
    """Any framing, with a limit that is easily passed."""
    kind, limit = source.number(7), 1 + source.number(40)
    match kind:
        case 0:
            return Line(limit, source.flag(), source.flag())
        case 1:
            end = source.choice(_ENDS)
            return Until(end, max(limit, len(end)), source.flag())
        case 2:
            return Exactly(limit)
        case 3:
            return LengthPrefixed(source.choice((1, 2, 4, 8)), source.choice(("big", "little")), limit)
        case 4:
            return Netstring(limit)
        case 5:
            return ToEOF(limit)
    return Available(limit)


def framings(data: bytes) -> None:
    """One framing, any bytes, any split."""
    source = Source(data)
    framing, eof = framing_of(source), source.flag()
    where = source.bytes(12)
    pieces = cut(source.rest(), where)
    found, error = messages_of(framing, pieces, eof)
    if isinstance(framing, Available):
        expected = [message for piece in pieces for message in naive.messages(framing, piece)[0]], False
    else:
        expected = naive.messages(framing, b"".join(pieces), eof)
    assert (found, error is FramingError) == expected, f"{framing}: {found} instead of {expected}"


def machine(data: bytes) -> None:
    """A conversation in several framings, held and released."""
    source = Source(data)
    steps = []
    for number in range(1 + source.number(3)):
        framing = Exactly(0) if number and source.number(8) == 0 else framing_of(source)
        steps.append((framing, source.flag(), source.flag()))
    most = source.choice((None, 5, 20, 60))
    releases = [bool(byte & 1) for byte in source.bytes(12)]
    where = source.bytes(12)
    converse(steps, most, cut(source.rest(), where), releases)


_ACTIONS = (
    *(("write", size) for size in (1, 10, 10, 120, 120, 700)),
    ("hold", 0),
    ("hold", 3),
    ("offload", 5),
    ("drain", 0),
    ("pause", 0),
    ("later", 2),
)
_LAST_ACTIONS = (("write_eof", 0), ("close", 0), ("abort", 0), ("raise", 0), ("return", 0), ("write", 6000))


def _actions(source: Source) -> tuple[tuple[str, int], ...]:
    """What is done with a message; seldom something that ends it all."""
    count = source.number(4)
    return tuple(source.choice(_ACTIONS if source.number(12) else _LAST_ACTIONS) for _ in range(count))


def _speak(stage: Stage, source: Source) -> None:
    payload, way, times = source.bytes(20), source.number(4), source.choice((1, 1, 1, 3, 30, 250))
    for place in range(times):
        framing = stage.expected(place).framing
        match way:
            case 0:
                stage.arrive(payload)
            case 1:
                stage.arrive(streams.framed(framing, payload))
            case _:
                stage.arrive(streams.fitting(framing, payload))


_HAPPENINGS: tuple[Callable[[Stage, Source], object], ...] = (
    _speak,
    _speak,
    _speak,
    lambda stage, source: stage.speak_slowly(
        [source.bytes(12) for _ in range(1 + source.number(4))], 1 + source.number(12), source.number(8)
    ),
    lambda stage, source: stage.turn(),
    lambda stage, source: stage.turn(),
    lambda stage, source: stage.rest(),
    lambda stage, source: stage.advance(source.choice((0.0, 0.5, 1.0, 3.0, 9.5, 29.0, 70.0))),
    lambda stage, source: stage.make_room(source.choice((0, 1, 7, 150, 5000, 1 << 30))),
    lambda stage, source: stage.take_slowly(1 + source.number(100), 1 + source.number(4), source.number(20)),
    lambda stage, source: stage.write(source.choice((0, 1, 50, 290, 400))),
    lambda stage, source: stage.stutter(source.choice((BlockingIOError, InterruptedError))),
    lambda stage, source: stage.lie(1 + source.number(EVENT_READ | EVENT_WRITE)),
    lambda stage, source: stage.hold() if type(stage.handler) is StatePerformer else None,
    lambda stage, source: stage.release(),
    lambda stage, source: stage.pause(),
    lambda stage, source: stage.resume(),
    lambda stage, source: stage.work(),
)
_LAST_HAPPENINGS: tuple[Callable[[Stage, Source], object], ...] = (
    lambda stage, source: stage.write_eof(),
    lambda stage, source: stage.end(),
    lambda stage, source: stage.end(),
    lambda stage, source: stage.vanish(source.choice((errno.ECONNRESET, errno.EPIPE, errno.ETIMEDOUT))),
    lambda stage, source: stage.close(),
    lambda stage, source: stage.abort(),
)


def connection(data: bytes) -> None:
    """One connection, and everything that can happen to it."""
    source = Source(data)
    style = source.choice((StatePerformer, CoroutinePerformer))
    steps = [Step(framing_of(source), _actions(source), source.flag()) for _ in range(1 + source.number(3))]
    broken = source.choice((*[frozenset[str]()] * 14, frozenset({"setup"}), frozenset({"finish"})))
    with Stage(style, steps, _actions(source) if source.number(4) == 0 else (), broken) as stage:
        while source.left > 0:
            source.choice(_HAPPENINGS if source.number(12) else _LAST_HAPPENINGS)(stage, source)
            stage.check()


TARGETS: dict[str, Callable[[bytes], None]] = {
    "framings": framings,
    "machine": machine,
    "connection": connection,
}
