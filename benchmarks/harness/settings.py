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
    seconds: float = 0.25
    warmup: float = 0.05
    #: So many rounds before all servers are started anew: what chance did to one's memory is then
    #: not with it in every round.
    rounds_per_process: int = 3
    #: Seconds of each server's system calls that are counted; 0 leaves them out.
    traced: float = 0.1
    #: Memory is the same every time, within a hundredth of a KiB for each of ten thousand connections.
    memory_rounds: int = 1
    #: One round opens thousands of connections and is long, hence a cap.
    long_rounds: int = 3
    idle: int = 10_000
    timers: int = 100_000
    #: Requests whose instructions are counted, under a tool that is fifty times slower.
    counted: int = 2_000

    @classmethod
    def quick(cls) -> Settings:
        """Enough to see that nothing is broken; too little to quote figures from."""
        return cls(
            rounds=2,
            seconds=0.06,
            warmup=0.02,
            traced=0.0,
            memory_rounds=1,
            long_rounds=1,
            idle=2_000,
            timers=20_000,
            counted=200,
        )


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
