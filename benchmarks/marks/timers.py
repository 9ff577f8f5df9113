"""`timers-100000`: our heap of timers against asyncio's, in one process.

The race itself is `races/timers.py`, a program of its own, so that neither loop
finds an interpreter that the harness has used before.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from harness.build import BENCHMARKS
from harness.figures import Mark, Result, Summary, ratio
from harness.processes import BenchmarkError, Child
from harness.settings import Settings, cores

RACE = BENCHMARKS / "races" / "timers.py"
#: Seconds that one round of the race may take before it counts as hung.
ROUND_TIME = 30.0


def timers(settings: Settings) -> Result:
    """100,000 timers inserted and fired, and inserted and cancelled."""
    count = settings.timers
    result = Result(
        f"timers-{count}",
        f"{count:,} timers: CPU time for each, median (min-max) of {settings.rounds} rounds.",
        ["timers", "reactor, CPU µs", "asyncio, CPU µs", "asyncio / reactor"],
    )
    try:
        races = _race(count, settings.rounds)
    except BenchmarkError as error:
        result.failures.append(str(error))
        races = {}
    for kind, wanted in (("fired", 1.5), ("cancelled", 2.5)):
        race = races.get(kind)
        relative = None if race is None else ratio(race["asyncio"], race["reactor"])
        if race is not None and relative is not None:
            costs = [[s / count * 1e6 for s in race[loop]] for loop in ("reactor", "asyncio")]
            result.rows.append([kind, *(Summary.of(c).text() for c in costs), relative.text()])
            result.samples[kind] = race
        name = f"{result.name}: inserted and {kind}, CPU of asyncio / reactor"
        result.marks.append(Mark(name, "at least", wanted, relative))
    return result


def _race(count: int, rounds: int) -> dict[str, Any]:
    server_core, _ = cores()
    command = [sys.executable, str(RACE), str(count), str(rounds)]
    with Child("the race", command, server_core) as race:
        answer: dict[str, Any] = json.loads(race.read_line(rounds * ROUND_TIME))
    return answer
