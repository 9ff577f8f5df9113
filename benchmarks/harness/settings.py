"""How thoroughly to measure: one value that every benchmark is given."""

from __future__ import annotations

import os
import resource
from dataclasses import dataclass

#: Descriptors that a server or the client needs besides its connections.
SPARE_DESCRIPTORS = 128

LINE_SIZE = 64


@dataclass(frozen=True)
class Settings:
    """The knobs of one run, and the two cores it is made on."""

    rounds: int = 7
    seconds: float = 0.5
    warmup: float = 0.2
    #: Memory is the same every time, within a few pages, so it needs fewer rounds.
    memory_rounds: int = 2
    #: One round opens thousands of connections and is long, hence a cap.
    long_rounds: int = 5
    idle: int = 10_000
    timers: int = 100_000

    @classmethod
    def quick(cls) -> Settings:
        """Enough to see that nothing is broken; too little to quote figures from."""
        return cls(rounds=2, seconds=0.15, warmup=0.05, memory_rounds=1, long_rounds=1)


def cores() -> tuple[int, int]:
    """Return the server's core and the client's: apart if there are two.

    Pinned apart, neither takes time from the other or moves away from its caches.
    """
    available = sorted(os.sched_getaffinity(0))
    return available[-1], available[0]


def raise_descriptor_limit(idle: int) -> int:
    """Raise the limit of open descriptors and return how many idle connections fit.

    Server and client inherit it; each holds one end of every connection.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = idle + 10 * SPARE_DESCRIPTORS
    if hard != resource.RLIM_INFINITY:
        wanted = hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return min(idle, wanted - SPARE_DESCRIPTORS)
