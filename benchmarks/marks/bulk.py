"""`bulk`: one connection that sends 64 KiB at a time and reads back what it sent, as fast as it can."""

from __future__ import annotations

from harness.comparison import Work, compare, opening
from harness.contenders import ASYNCIO_ECHO_STREAMS, STATE_ECHO, STATE_ECHO_AGAIN, UVLOOP_ECHO
from harness.figures import Result
from harness.lineup import Talk
from harness.settings import Settings

from marks.raw import ALL, REFERENCES

SIZE = 65536
#: Writes that may be on their way: enough to keep both ends busy, less than the kernel keeps for them.
WINDOW = 4


def bulk(settings: Settings) -> Result:
    """One connection, 64 KiB writes; a request is one of them."""
    work = Work(
        "bulk-64k",
        f"Raw echo on one connection, writes of {SIZE // 1024} KiB, {WINDOW} on their way. "
        "A request is one write.",
        ALL,
        Talk(opening(1), lambda client, seconds: client.roll(WINDOW, seconds), size=SIZE, options=("echo",)),
        REFERENCES,
        STATE_ECHO_AGAIN,
    )
    comparison = compare(work, settings)
    comparison.mark(UVLOOP_ECHO, STATE_ECHO, 1.0)
    comparison.mark(ASYNCIO_ECHO_STREAMS, STATE_ECHO, 2.0)
    return comparison.result
