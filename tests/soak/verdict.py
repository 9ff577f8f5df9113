"""The verdict: what the readings and the log say against the server.

Memory needs care. Pools fill and fragment for as long as new peaks come, threads' most of all, so the
beginning does not count. After it the crowd is always the same, and so is memory, but for peaks and what the
allocator gives back: the slope is that of the floor under the peaks, and counts only as far as it is
certain. What memory may rise from the first reading to the last is a share of what is there, whatever the
length of the run, because fragmentation comes to an end and a leak does not. At 200 connections a second a
minute finds two KiB that stay of each, three minutes a bare row of the table, an hour 15 bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.soak.logged import Log
from tests.soak.slope import slope

#: The share of the run, and the seconds at least, in which memory may grow.
WARM_UP, WARM_UP_AT_LEAST = 0.4, 20.0
#: Readings after it that are needed to say anything.
ENOUGH = 15
#: The share by which memory may rise after it, and the KiB that it may in any case.
FLAT, FLAT_AT_LEAST = 1 / 8, 3072
#: So many windows, of which the lowest reading counts: a large reply comes and goes, a leak stays.
WINDOWS = 12
#: Share of a core that a server with no client may take. One that spins takes all.
IDLE_LOAD = 0.2


@dataclass(frozen=True)
class Reading:
    """*seconds* from the start. *resident*: KiB. *waiting*: rows, threads or children, by their trace."""

    seconds: float
    resident: int
    descriptors: int
    cpu: float
    waiting: int


@dataclass(frozen=True)
class Memory:
    """*begin*: KiB when it had warmed up. KiB a minute: *slope*; *certain*, which is below it where readings
    differ much; *most*, which that may not pass."""

    begin: int
    slope: float
    certain: float
    most: float


def _resident(reading: Reading) -> int:
    return reading.resident


def memory(readings: Sequence[Reading]) -> Memory | None:
    """How it went after the warm-up; `None` if the run was too short to tell."""
    if not readings:
        return None
    begin = max(WARM_UP_AT_LEAST, WARM_UP * readings[-1].seconds)
    warm = [each for each in readings if each.seconds >= begin]
    if len(warm) < ENOUGH:
        return None
    minutes = (warm[-1].seconds - warm[0].seconds) / 60
    width = len(warm) // WINDOWS
    floor = [min(warm[at : at + width], key=_resident) for at in range(0, width * WINDOWS, width)]
    middle, certain = slope([each.seconds for each in floor], [each.resident for each in floor])
    most = max(FLAT_AT_LEAST, FLAT * floor[0].resident)
    return Memory(floor[0].resident, middle * 60, certain * 60, most / minutes)


def reasons(readings: Sequence[Reading], log: Log, *, one_log: bool) -> list[str]:
    """Why the server has not passed, beside what the clients have to complain about. *one_log*: one
    process logs for all connections, so that it can see to one line a second."""
    found = []
    kept = memory(readings)
    if kept is not None and kept.certain > kept.most:
        found.append(f"memory rises by {kept.certain:.0f} KiB a minute or more, and may by {kept.most:.0f}")
    for cause, count in log.floods.items():
        if one_log:
            found.append(f"more than a line a second in the log about {cause}, at worst {count} of them")
    if log.unexpected:
        found.append(f"{len(log.unexpected)} lines in the log that no limit explains: {log.unexpected[:20]}")
    return found
