"""What the kernel knows about a process: CPU time, memory, descriptors."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

#: A process that is still changing after this long is measured as it is.
SETTLING_TIME = 10.0
POLL_INTERVAL = 0.02
#: Readings in a row that must agree before a value counts as settled.
AGREEING_READINGS = 5


def cpu_seconds(pid: int) -> float:
    """Return the CPU time, user and system, that all threads of a process have used.

    `schedstat` counts nanoseconds on the core. `stat` counts ticks of 10 ms, too
    coarse for a measurement of half a second; it serves where the other is missing.
    """
    try:
        threads = Path(f"/proc/{pid}/task").iterdir()
        return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9
    except FileNotFoundError:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


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
    sizes: dict[str, int] = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, size = line.split()[:2]
        sizes[name.rstrip(":")] = int(size)
    return Memory(sizes["Rss"], sizes["Private_Clean"] + sizes["Private_Dirty"])


def settled_memory(pid: int) -> Memory:
    """Return a process's memory once it has stopped changing."""
    deadline = time.monotonic() + SETTLING_TIME
    last, agreeing = memory(pid), 1
    while agreeing < AGREEING_READINGS and time.monotonic() < deadline:
        time.sleep(POLL_INTERVAL)
        now = memory(pid)
        agreeing = agreeing + 1 if now == last else 1
        last = now
    return last


def await_descriptors(pid: int, wanted: int) -> int:
    """Wait until a process holds so many descriptors; return how many it holds then."""
    deadline = time.monotonic() + SETTLING_TIME
    while (held := descriptors(pid)) != wanted and time.monotonic() < deadline:
        time.sleep(POLL_INTERVAL)
    return held
