"""What the kernel knows about a process, and about its children: CPU time, memory, descriptors."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

Reading = TypeVar("Reading")

#: A process that is still changing after this long is measured as it is.
SETTLING_TIME = 10.0
POLL_INTERVAL = 0.02
#: Readings in a row that must agree before a value counts as settled.
AGREEING_READINGS = 5


def cpu_seconds(pid: int) -> float:
    """Return the CPU time, user and system, that all threads of a process have used, living or not.

    In nanoseconds, and exact while the process sleeps; ticks of 10 ms are too coarse for a
    measurement of half a second.
    """
    return _process_clock(pid)


def family_cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and its children: threads and children that are no more,
    too, if they have been waited for.

    Nanoseconds for those that live, ticks of 10 ms for the sum of those that do not.
    """
    return sum(map(_process_clock, family(pid))) + sum(_ticks(pid)[2:])


def user_seconds(pid: int) -> float:
    """Return the CPU time that a process and its threads, living or not, used in user mode.

    In ticks of 10 ms, and how much of them was the kernel's is sampled by the clock's
    interrupt: a rough figure, and none at all for processes that live shorter than that.
    """
    return _ticks(pid)[0]


def modes(pids: Iterable[int]) -> tuple[float, float]:
    """Return the CPU time of processes in user and in system mode, as roughly."""
    ticks = [_ticks(pid)[:2] for pid in pids]
    return sum(user for user, _ in ticks), sum(system for _, system in ticks)


def family(pid: int) -> list[int]:
    """Return the ids of a process and those of its children."""
    children = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                parent = int(_stat(int(entry))[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
            if parent == pid:
                children.append(int(entry))
    return [pid, *children]


def _process_clock(pid: int) -> float:
    """Read another process's CPU clock, as clock_getcpuclockid(3) makes its number."""
    try:
        return time.clock_gettime(~pid << 3 | 2)
    except OSError:  # it was a child, and is no more
        return 0.0


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _ticks(pid: int) -> list[float]:
    """Seconds of CPU time: user's, system's, and both of the children that were waited for."""
    return [int(field) / os.sysconf("SC_CLK_TCK") for field in _stat(pid)[11:15]]


def descriptors(pid: int) -> int:
    """Return how many descriptors a process holds."""
    return len(os.listdir(f"/proc/{pid}/fd"))


@dataclass(frozen=True)
class Memory:
    """KiB in use by a process: resident, and of that what is private to it."""

    rss: int
    private: int


def memory(pid: int) -> Memory:
    """Read a process's memory. Private pages are what it alone costs the machine."""
    sizes = _sizes(pid)
    return Memory(sizes["Rss"], sizes["Private_Clean"] + sizes["Private_Dirty"])


def _sizes(pid: int) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, size = line.split()[:2]
        sizes[name.rstrip(":")] = int(size)
    return sizes


def settled_memory(pid: int) -> Memory:
    """Return a process's memory once it has stopped changing."""
    return settled(lambda: memory(pid))


def family_memory(pid: int) -> int:
    """Return the KiB that a process and its children use, a page that several share counted once."""
    return sum(_sizes(each)["Pss"] for each in family(pid))


def settled(read: Callable[[], Reading]) -> Reading:
    """Return a reading once it has stopped changing."""
    deadline = time.monotonic() + SETTLING_TIME
    last, agreeing = read(), 1
    while agreeing < AGREEING_READINGS and time.monotonic() < deadline:
        time.sleep(POLL_INTERVAL)
        now = read()
        agreeing = agreeing + 1 if now == last else 1
        last = now
    return last


def await_descriptors(pid: int, wanted: int) -> int:
    """Wait until a process holds so many descriptors; return how many it holds then."""
    deadline = time.monotonic() + SETTLING_TIME
    while (held := descriptors(pid)) != wanted and time.monotonic() < deadline:
        time.sleep(POLL_INTERVAL)
    return held
