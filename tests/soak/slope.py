"""How fast a noisy figure rises."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import quantiles


def slope(times: Sequence[float], values: Sequence[float]) -> tuple[float, float]:
    """The median of the slopes from each of the first third to each of the last third of the points, and
    the slope that three quarters of them pass. Peaks and pits don't move the one, and where there is so
    much of them that the one means little, the other is far below it."""
    points = list(zip(times, values, strict=True))
    third = len(points) // 3
    slopes = [(b - a) / (t - s) for s, a in points[:third] for t, b in points[-third:]]
    quarter, half, _ = quantiles(slopes, n=4)
    return half, quarter
