"""`churn`: connect, ask one line, read the answer, close; all hooks of the server's are called each time."""

from __future__ import annotations

from harness.comparison import Work, compare
from harness.contenders import (
    ASYNCIO_PROTOCOL_TUNED,
    ASYNCIO_STREAMS,
    C_LIMIT,
    COROUTINE,
    STATE,
    STATE_AGAIN,
    UVLOOP_PROTOCOL,
    UVLOOP_STREAMS,
    standard,
)
from harness.figures import Result
from harness.lineup import Member, Talk
from harness.settings import LINE_SIZE, Settings

from marks.lines import REFERENCES

#: Peers at a time: fewer than socketserver's listen backlog of 5.
AT_ONCE = 4
#: It answers one line; with this job there is no reason to wait for another.
THREADING = standard("ThreadingTCPServer", "Line")


def churn(settings: Settings) -> Result:
    """A connection for each line."""
    work = Work(
        "churn",
        f"A connection for each line of {LINE_SIZE} bytes, {AT_ONCE} at a time.",
        (
            *(C_LIMIT, STATE, STATE_AGAIN, COROUTINE, UVLOOP_PROTOCOL, UVLOOP_STREAMS),
            *(ASYNCIO_PROTOCOL_TUNED, ASYNCIO_STREAMS, THREADING),
        ),
        Talk(_begin, lambda client, seconds: client.churn(AT_ONCE, seconds)),
        REFERENCES,
        STATE_AGAIN,
    )
    comparison = compare(work, settings)
    comparison.mark(UVLOOP_PROTOCOL, STATE, 0.9)
    comparison.mark(THREADING, STATE, 3.5)
    return comparison.result


def _begin(member: Member) -> None:
    member.client.tell("dismiss")
