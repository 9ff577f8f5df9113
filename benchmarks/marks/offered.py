"""`offered`: the same number of requests a second for every server: what it spends on them, and how
long they take.

With as many requests as each can do, a fast server is asked more, wakes up with more to do at a time
and is cheaper for it. With half of what the slowest can do, all have the same work, and time to sleep.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.comparison import opening
from harness.contenders import FORKING, LINES, STATE
from harness.figures import Histogram, Result, Summary, merged, percentile, ratio
from harness.lineup import Lineup, Member, Talk
from harness.processes import PATIENCE
from harness.readings import cpu_seconds, family_cpu_seconds
from harness.settings import Settings

CONNECTIONS = 50
PERCENTILES = (0.5, 0.9, 0.99, 0.999, 1.0)


@dataclass(frozen=True)
class Sample:
    """What so many requests a second cost one server, and how long they took."""

    cpu: float  # µs for a request
    latencies: Histogram  # nanoseconds


def offered(settings: Settings) -> Result:
    """Half of what the slowest can do, with 50 connections."""
    result = Result(
        "offered",
        "",
        ["server", "CPU µs", "/ ours", *(f"p{share * 100:g} µs" for share in PERCENTILES[:-1]), "max µs"],
    )
    talk = Talk(opening(CONNECTIONS), lambda client, seconds: client.run(1, seconds))
    lineup = Lineup(result, [contender for contender in LINES if contender != FORKING], talk)

    def speed(member: Member) -> float:
        talk.go(member.client, settings.warmup)
        return float(member.client.tell(f"run 1 {settings.seconds / 2}")["requests"]) / (settings.seconds / 2)

    speeds = lineup.measure(1, settings, speed)
    if not speeds:
        return result
    slowest = min(speeds, key=lambda contender: speeds[contender][0])
    rate = round(speeds[slowest][0] / 2, -2)
    result.about = (
        f"{rate:,.0f} lines a second on {CONNECTIONS} connections, half of what the slowest does "
        f"({slowest.name}). CPU time: median (min-max) of {settings.long_rounds} rounds. Latency, of all "
        "rounds together: from the moment when a line was due until its answer was there."
    )

    def sample(member: Member) -> Sample:
        talk.go(member.client, settings.warmup)
        used = family_cpu_seconds if member.contender.forks else cpu_seconds
        cpu = used(member.server.pid)
        command = f"offer {rate} {2 * settings.seconds}"
        answer = member.client.tell(command, 2 * settings.seconds + PATIENCE)
        cpu = used(member.server.pid) - cpu
        return Sample(cpu / answer["requests"] * 1e6, answer["latencies"])

    samples = lineup.measure(settings.long_rounds, settings, sample)
    for contender, of in samples.items():
        costs = [each.cpu for each in of]
        latencies = merged([each.latencies for each in of])
        shown = [percentile(latencies, share) / 1e3 for share in PERCENTILES]
        relative = ratio(costs, [each.cpu for each in samples[STATE]]) if STATE in samples else None
        result.rows.append(
            [
                contender.name,
                Summary.of(costs).text(),
                "" if relative is None else f"{relative.median:.2f}",
                *(f"{value:,.0f}" for value in shown),
            ]
        )
        result.samples[contender.name] = {"cpu": costs, "latencies": latencies}
    return result
