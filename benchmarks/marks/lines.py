"""Lines, answered in upper case: few connections and many, one at a time and sixteen, short and long.

`lines` shows what a request costs when each needs its own wake-up, read and write; `pipelined` what
is left when sixteen share those, which is Python alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from harness.comparison import Comparison, Work, batches, compare
from harness.contenders import (
    ASYNCIO_PROTOCOL,
    ASYNCIO_PROTOCOL_TUNED,
    ASYNCIO_STREAMS,
    ASYNCORE,
    C_LIMIT,
    COROUTINE,
    LINES,
    STATE,
    STATE_AGAIN,
    THREADING,
    UVLOOP_PROTOCOL,
    UVLOOP_STREAMS,
    Contender,
)
from harness.figures import Result
from harness.lineup import Talk
from harness.settings import LINE_SIZE, Settings

CONNECTIONS = 50
PIPELINE = 16
#: Bytes of a long line, and on how many connections: more than one `recv` each, and all fit a cache.
LONG = 102_400
LONG_CONNECTIONS = 10

REFERENCES = (("/ limit", C_LIMIT), ("/ uvloop", UVLOOP_PROTOCOL), ("/ ours", STATE))
FEW = (C_LIMIT, STATE, STATE_AGAIN, COROUTINE, UVLOOP_PROTOCOL, UVLOOP_STREAMS)
ASYNCIO = (ASYNCIO_PROTOCOL, ASYNCIO_PROTOCOL_TUNED, ASYNCIO_STREAMS)


def lines(settings: Settings) -> Result:
    """50 connections, each waits for its answer before it asks again."""
    comparison = _compare("lines-50", CONNECTIONS, 1, LINES, settings)
    for peer, wanted in (
        (UVLOOP_PROTOCOL, 1.0),
        (UVLOOP_STREAMS, 1.4),
        (ASYNCIO_STREAMS, 1.6),
        (ASYNCIO_PROTOCOL, 1.2),
        (ASYNCORE, 1.4),
        (THREADING, 1.7),
    ):
        comparison.mark(peer, STATE, wanted)
    comparison.mark(UVLOOP_STREAMS, COROUTINE, 1.2)
    comparison.mark(ASYNCIO_STREAMS, COROUTINE, 1.4)
    return comparison.result


def thousand(settings: Settings) -> Result:
    """1,000 connections, all of them active."""
    comparison = _compare("lines-1000", 1_000, 1, (*FEW, *ASYNCIO), settings)
    comparison.mark(UVLOOP_PROTOCOL, STATE, 1.2)
    comparison.mark(UVLOOP_STREAMS, STATE, 1.9)
    return comparison.result


def ten_thousand(settings: Settings) -> Result:
    """10,000 connections, all of them active; opened once, for that takes longer than all the rounds."""
    settings = replace(settings, rounds_per_process=settings.rounds)
    comparison = _compare(f"lines-{settings.idle}", settings.idle, 1, FEW, settings)
    comparison.mark(UVLOOP_PROTOCOL, STATE, 1.0)
    return comparison.result


def pipelined(settings: Settings) -> Result:
    """50 connections, each asks 16 times at once."""
    contenders = (*FEW, *ASYNCIO, ASYNCORE, THREADING)
    comparison = _compare("lines-50-pipelined-16", CONNECTIONS, PIPELINE, contenders, settings)
    comparison.mark(UVLOOP_PROTOCOL, STATE, 0.9)
    for peer in (UVLOOP_STREAMS, ASYNCIO_STREAMS, ASYNCORE, THREADING):
        comparison.mark(peer, STATE, 10.0)
    return comparison.result


def long_lines(settings: Settings) -> Result:
    """Lines of 100 KiB, which come in pieces."""
    without = (STATE, STATE_AGAIN, C_LIMIT, UVLOOP_PROTOCOL, UVLOOP_STREAMS, *ASYNCIO)
    comparison = _compare("lines-100k", LONG_CONNECTIONS, 1, without, settings, LONG)
    comparison.mark(UVLOOP_PROTOCOL, STATE, 1.3)
    return comparison.result


def _compare(
    name: str,
    connections: int,
    pipeline: int,
    contenders: Sequence[Contender],
    settings: Settings,
    size: int = LINE_SIZE,
) -> Comparison:
    talk = batches(connections, pipeline)
    work = Work(
        name,
        f"Lines of {size:,} bytes on {connections:,} connections, {pipeline} at a time.",
        contenders,
        Talk(talk.begin, talk.go, size=size),
        REFERENCES,
        STATE_AGAIN,
    )
    return compare(work, settings)
