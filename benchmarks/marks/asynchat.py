"""`asynchat`: one program written for `asynchat`, on ours and on the frozen one.

The old loop asked every channel in every turn, so that each line paid for all who were silent.
Ours asks nobody whose answer it knows. Each is up without idle connections and amid 5,000;
ours amid 10,000 as well, which shows that it works: nobody would wait for the other there.
"""

from __future__ import annotations

from dataclasses import replace

from harness.comparison import Work, compare
from harness.contenders import CHAT, CHAT_AGAIN, CHAT_FROZEN, Contender
from harness.figures import Result
from harness.lineup import Member, Talk
from harness.processes import BenchmarkError
from harness.readings import await_descriptors, descriptors
from harness.settings import Settings

ACTIVE = 50
#: Opened at a time: the old loop goes around all it has for each few that it accepts.
AT_ONCE = 64


def _amid(contender: Contender, count: int) -> Contender:
    return replace(contender, name=f"{contender.name}, amid {count:,}")


def asynchat(settings: Settings) -> Result:
    """50 active connections, with none idle, with 5,000 and with 10,000."""
    many, most = settings.idle // 2, settings.idle - ACTIVE
    ours, frozen, ours_amid_most = _amid(CHAT, many), _amid(CHAT_FROZEN, many), _amid(CHAT, most)
    idle = {ours: many, frozen: many, ours_amid_most: most}

    def begin(member: Member) -> None:
        client, server = member.client, member.server
        client.tell(f"active {ACTIVE}")
        count = idle.get(member.contender, 0)
        if count:
            held = descriptors(server.pid)
            client.tell(f"idle {count} 0 {AT_ONCE}")
            have = await_descriptors(server.pid, held + count) - held
            if have != count:
                raise BenchmarkError(f"the server holds {have} of {count} connections")

    work = Work(
        f"asynchat-{ACTIVE}",
        f"An asynchat line server, {ACTIVE} active connections, with none idle and amid silent ones.",
        (CHAT, CHAT_AGAIN, CHAT_FROZEN, ours, frozen, ours_amid_most),
        Talk(begin, lambda client, seconds: client.run(1, seconds)),
        ((f"/ ours, amid {many:,}", ours), ("/ ours", CHAT)),
        CHAT_AGAIN,
    )
    comparison = compare(work, replace(settings, rounds_per_process=settings.rounds))
    comparison.mark(CHAT_FROZEN, CHAT, 1.0)
    comparison.mark(frozen, ours, 10.0)
    return comparison.result
