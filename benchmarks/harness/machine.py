"""The machine that figures come from, and how quiet it was meanwhile."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from harness.build import BENCHMARKS

PEERS = ("uvloop", "gevent", "tornado", "twisted", "trio", "curio")
#: Share of the machine that others may use before throughput and latency are theirs as much as ours.
QUIET = 0.03

#: Fields of the first line of /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal.
IDLE, STEAL = (3, 4), 7


def conditions() -> dict[str, str | int | None]:
    """Return what figures have to be read with: the interpreter, the machine, the peers."""
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "revision": _said_by("git", "-C", str(BENCHMARKS), "describe", "--always", "--dirty"),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') >> 30} GiB",
        "compiler": _said_by(os.environ.get("CC", "cc"), "--version"),
        **{peer: _version(peer) for peer in PEERS},
        "asyncore": "the standard library's" if sys.version_info < (3, 12) else _version("pyasyncore"),
    }


def _version(peer: str) -> str | None:
    try:
        return version(peer)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return f"{value.strip()}, {platform.machine()}"
    return platform.machine()


def _said_by(*command: str) -> str | None:
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=10).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return said.splitlines()[0] if said else None


@dataclass(frozen=True)
class Quietness:
    """How much of the machine's CPU time was used by others than us, and stolen by its host."""

    seconds: float
    others: float
    stolen: float

    def text(self) -> str:
        """Say it so that nobody takes noise for a result."""
        shares = (
            f"{self.others:.0%} of the machine was used by other processes and {self.stolen:.0%} by other "
            "machines on the same host"
        )
        if max(self.others, self.stolen) <= QUIET:
            return f"The machine was quiet: {shares}."
        return (
            f"The machine was NOT quiet: {shares}. Requests a second and latencies are worth little here, "
            "and ratios vary more than they would."
        )


class Watch:
    """Looks at the machine's clocks when it is made, and again when asked."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._ticks = _machine_ticks()
        self._ours = _our_seconds()

    def quietness(self) -> Quietness:
        """Return how quiet it was since. Our children count as ours once they have been waited for."""
        ours = _our_seconds() - self._ours
        ticks = [now - then for now, then in zip(_machine_ticks(), self._ticks, strict=True)]
        return quietness(ticks, ours * os.sysconf("SC_CLK_TCK"), time.monotonic() - self._start)


def quietness(ticks: Sequence[float], ours: float, seconds: float) -> Quietness:
    """Divide the machine's ticks: *ticks* as in /proc/stat, *ours* of those that were not idle."""
    total = sum(ticks)
    busy = total - sum(ticks[field] for field in IDLE) - ticks[STEAL]
    return Quietness(seconds, max(0.0, busy - ours) / total, ticks[STEAL] / total)


def _machine_ticks() -> list[int]:
    with open("/proc/stat") as stat:
        return [int(field) for field in stat.readline().split()[1:9]]


def _our_seconds() -> float:
    own = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in own)
