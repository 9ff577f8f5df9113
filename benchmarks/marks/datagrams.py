"""`datagrams`: a datagram, answered in upper case."""

from __future__ import annotations

from harness.comparison import Work, compare, keep
from harness.contenders import (
    ASYNCIO_UDP,
    ASYNCIO_UDP_TUNED,
    C_UDP,
    REACTOR_UDP,
    REACTOR_UDP_AGAIN,
    STANDARD_UDP,
    UVLOOP_UDP,
)
from harness.figures import Result
from harness.lineup import Talk
from harness.settings import LINE_SIZE, Settings

PEERS = 50


def datagrams(settings: Settings) -> Result:
    """50 peers, each waits for its answer before it asks again."""
    talk = keep(PEERS)
    work = Work(
        f"datagrams-{PEERS}",
        f"Datagrams of {LINE_SIZE} bytes, {PEERS} peers.",
        (C_UDP, REACTOR_UDP, REACTOR_UDP_AGAIN, STANDARD_UDP, UVLOOP_UDP, ASYNCIO_UDP, ASYNCIO_UDP_TUNED),
        Talk(talk.begin, talk.go, options=("udp",)),
        (("/ limit", C_UDP), ("/ uvloop", UVLOOP_UDP), ("/ ours", REACTOR_UDP)),
        REACTOR_UDP_AGAIN,
    )
    comparison = compare(work, settings)
    comparison.mark(STANDARD_UDP, REACTOR_UDP, 1.25)
    comparison.mark(UVLOOP_UDP, REACTOR_UDP, 1.1)
    comparison.mark(ASYNCIO_UDP, REACTOR_UDP, 4.0)
    return comparison.result
