"""`amid`: the many who are silent must not slow down the few who speak.

The selector hands over only those that are ready, and nothing walks the whole
table in a turn. What is left is the sweep that enforces limits, the collector,
and caches. Each server is up twice, amid the idle and without them, and they are
opened once, for that takes longer than all the rounds.
"""

from __future__ import annotations

from dataclasses import replace

from harness.comparison import Work, compare
from harness.contenders import (
    ASYNCIO_PROTOCOL_TUNED,
    ASYNCORE,
    C_LIMIT,
    COROUTINE,
    STATE,
    STATE_AGAIN,
    UVLOOP_PROTOCOL,
    Contender,
)
from harness.figures import Mark, Result
from harness.lineup import Member, Talk
from harness.processes import BenchmarkError
from harness.readings import await_descriptors, descriptors
from harness.settings import Settings

ACTIVE = 50
#: Opened at a time: asyncore goes around all it has for each few that it accepts. All these listeners
#: have a longer queue.
AT_ONCE = 64
CONTENDERS = (C_LIMIT, STATE, COROUTINE, UVLOOP_PROTOCOL, ASYNCIO_PROTOCOL_TUNED, ASYNCORE)


def _amid(contender: Contender) -> Contender:
    return replace(contender, name=f"{contender.name}, amid idle")


def amid(settings: Settings) -> Result:
    """50 active connections, with 9,950 idle ones and with none."""
    count = settings.idle - ACTIVE
    crowded = {_amid(contender) for contender in CONTENDERS}

    def begin(member: Member) -> None:
        client, server = member.client, member.server
        client.tell(f"active {ACTIVE}")
        if member.contender in crowded:
            held = descriptors(server.pid)
            client.tell(f"idle {count} 0 {AT_ONCE}")
            have = await_descriptors(server.pid, held + count) - held
            if have != count:
                raise BenchmarkError(f"the server holds {have} of {count} connections")

    work = Work(
        f"active-{ACTIVE}-amid-{count}-idle",
        f"Lines on {ACTIVE} active connections, amid {count:,} idle ones and with none idle.",
        (STATE_AGAIN, *(each for contender in CONTENDERS for each in (contender, _amid(contender)))),
        Talk(begin, lambda client, seconds: client.run(1, seconds)),
        (("/ ours, amid idle", _amid(STATE)), ("/ ours", STATE)),
        STATE_AGAIN,
    )
    comparison = compare(work, replace(settings, rounds_per_process=settings.rounds))
    for contender in CONTENDERS:
        relative = comparison.ratio(_amid(contender), contender)
        if relative is not None:
            comparison.result.notes.append(f"{contender.name}, amid idle / none idle: {relative.text()}")
    for contender in (STATE, COROUTINE):
        name = f"{work.name}: CPU of {contender.name}, none idle / amid idle"
        got = comparison.ratio(contender, _amid(contender))
        comparison.result.marks.append(Mark(name, "at least", 0.9, got))
    comparison.mark(_amid(ASYNCORE), _amid(STATE), 30.0)
    return comparison.result
