"""`curve`: throughput, and what a request costs, with 1 to 10,000 connections, all of them active."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, replace

from harness.comparison import Sample, measured_phase
from harness.contenders import (
    ASYNCIO_PROTOCOL_TUNED,
    ASYNCIO_STREAMS,
    ASYNCORE,
    C_LIMIT,
    COROUTINE,
    GEVENT,
    STATE,
    THREADING,
    TWISTED,
    UVLOOP_PROTOCOL,
    UVLOOP_STREAMS,
    Contender,
)
from harness.figures import Result
from harness.lineup import Lineup, Member, Talk
from harness.settings import Settings

COUNTS = (1, 10, 100, 1_000, 10_000)
#: Measured so often at each number of connections, the servers in turns.
TURNS = 2

CONTENDERS = (
    *(C_LIMIT, STATE, COROUTINE, UVLOOP_PROTOCOL, UVLOOP_STREAMS, ASYNCIO_PROTOCOL_TUNED, ASYNCIO_STREAMS),
    *(ASYNCORE, THREADING, GEVENT, TWISTED),
)


def curve(settings: Settings) -> Result:
    """Connections are added to each server, then each is measured, again and again."""
    counts = [count for count in COUNTS if count <= settings.idle]
    result = Result(
        "curve",
        f"Lines on 1 to {counts[-1]:,} connections, all active: requests a second (CPU µs for each). "
        f"One process each, the better of {TURNS} turns. The client has its limit, too: near that of C.",
        ["server", *(f"{count:,}" for count in counts)],
    )
    talk = Talk(lambda member: None, lambda client, seconds: client.run(1, seconds))
    rounds = len(counts) * TURNS
    turns: Counter[Contender] = Counter()
    found: dict[Contender, dict[int, list[Sample]]] = {}

    def sample(member: Member) -> None:
        contender = member.contender
        step, again = divmod(turns[contender], TURNS)
        turns[contender] += 1
        if counts[step] > contender.most:
            return
        if not again:
            before = counts[step - 1] if step else 0
            member.client.tell(f"active {counts[step] - before}")
        taken = measured_phase(member, talk, settings)
        found.setdefault(contender, {}).setdefault(counts[step], []).append(taken)

    lineup = Lineup(result, CONTENDERS, talk)
    lineup.measure(rounds, replace(settings, rounds_per_process=rounds), sample)
    for contender in lineup.contenders:
        cells = [_cell(found[contender].get(count)) for count in counts]
        result.rows.append([contender.name, *cells])
        result.samples[contender.name] = {
            count: [asdict(each) for each in of] for count, of in found[contender].items()
        }
    return result


def _cell(samples: list[Sample] | None) -> str:
    if not samples:
        return ""
    return f"{max(each.rate for each in samples):,.0f} ({min(each.cpu for each in samples):.1f})"
