"""A clock that moves only when it is told to: what depends on time is tested without sleeping."""

from __future__ import annotations


class ManualClock:
    """Stands in for `time.monotonic`: call it for the time, `advance` it to let time pass."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> float:
        """Let `seconds` pass; returns the new time."""
        if seconds < 0:
            raise ValueError(f"time does not go back: advance({seconds!r})")
        self.now += seconds
        return self.now
