"""Figures that can be trusted on a noisy machine: medians, spans, ratios, and the marks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Literal


@dataclass(frozen=True)
class Summary:
    """The median of one figure's samples and the span they lie in."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, samples: Sequence[float]) -> Summary:
        return cls(median(samples), min(samples), max(samples))

    def text(self, decimals: int = 2) -> str:
        """Show it as `median (low-high)`."""
        return f"{self.median:.{decimals}f} ({self.low:.{decimals}f}-{self.high:.{decimals}f})"


def ratio(above: Sequence[float], below: Sequence[float]) -> Summary:
    """Divide sample by sample, then summarize.

    Samples of one round lie seconds apart, so what slows the machine down for a
    while slows both and cancels out; dividing two medians would lose that.
    """
    return Summary.of([a / b for a, b in zip(above, below, strict=True)])


#: Values, each the upper end of what was counted with it, and how often: `[[1023, 5], [1055, 2]]`.
Histogram = Sequence[Sequence[int]]


def merged(histograms: Sequence[Histogram]) -> Histogram:
    """Add up histograms that count the same kind of thing."""
    total: Counter[int] = Counter()
    for histogram in histograms:
        for value, count in histogram:
            total[value] += count
    return sorted(total.items())


def percentile(histogram: Histogram, share: float) -> int:
    """Return the value that *share* (0 to 1) of all that was counted do not exceed."""
    wanted = share * sum(count for _, count in histogram)
    seen = 0
    for value, count in histogram:
        seen += count
        if seen >= wanted:
            return value
    raise ValueError("nothing was counted")


@dataclass(frozen=True)
class Mark:
    """One thing we want to be true, and what was measured of it.

    Nothing depends on a mark that is missed: it is shown as SHORT, as openly as
    the others are shown as PASS. Without a figure (a server failed, or a peer is
    not installed) it is shown as NONE.
    """

    name: str
    sense: Literal["at least", "at most"]
    wanted: float
    got: Summary | None
    unit: str = ""

    @property
    def verdict(self) -> Literal["PASS", "SHORT", "NONE"]:
        if self.got is None:
            return "NONE"
        if self.sense == "at least":
            return "PASS" if self.got.median >= self.wanted else "SHORT"
        return "PASS" if self.got.median <= self.wanted else "SHORT"


@dataclass
class Result:
    """What one benchmark found: a table to read, samples to keep, marks, and what went wrong."""

    name: str
    about: str
    columns: list[str]
    rows: list[list[str]] = field(default_factory=list)
    samples: dict[str, Any] = field(default_factory=dict)
    marks: list[Mark] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    took: float | None = None  # seconds
