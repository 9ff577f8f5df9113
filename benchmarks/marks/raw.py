"""`raw`: what has come is sent back, and nothing else: one message, no framing, hardly any handler.

The smallest distance there can be between a loop in Python and the kernel.
"""

from __future__ import annotations

from harness.comparison import Work, compare, keep
from harness.contenders import (
    ASYNCIO_ECHO,
    ASYNCIO_ECHO_STREAMS,
    ASYNCIO_ECHO_TUNED,
    C_ECHO,
    COROUTINE_ECHO,
    STATE_ECHO,
    STATE_ECHO_AGAIN,
    UVLOOP_ECHO,
    UVLOOP_ECHO_STREAMS,
)
from harness.figures import Result
from harness.lineup import Talk
from harness.settings import LINE_SIZE, Settings

CONNECTIONS = 50

ALL = (
    *(C_ECHO, STATE_ECHO, STATE_ECHO_AGAIN, COROUTINE_ECHO, UVLOOP_ECHO, UVLOOP_ECHO_STREAMS),
    *(ASYNCIO_ECHO, ASYNCIO_ECHO_TUNED, ASYNCIO_ECHO_STREAMS),
)
REFERENCES = (("/ limit", C_ECHO), ("/ uvloop", UVLOOP_ECHO), ("/ ours", STATE_ECHO))


def raw(settings: Settings) -> Result:
    """50 connections, each waits for its message to come back."""
    line = keep(CONNECTIONS)
    work = Work(
        f"raw-{CONNECTIONS}",
        f"Raw echo of {LINE_SIZE} bytes on {CONNECTIONS} connections.",
        ALL,
        Talk(line.begin, line.go, options=("echo",)),
        REFERENCES,
        STATE_ECHO_AGAIN,
    )
    comparison = compare(work, settings)
    comparison.mark(UVLOOP_ECHO, STATE_ECHO, 1.0)
    comparison.mark(C_ECHO, STATE_ECHO, 0.8)
    return comparison.result
