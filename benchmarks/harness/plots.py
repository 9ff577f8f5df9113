"""Plots of a finished run, if matplotlib is there: throughput, memory, latency."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

from harness.figures import percentile

#: Ours stand out; the limit is what there is nothing beyond.
STYLES: dict[str, dict[str, Any]] = {
    "the limit, C epoll": {"color": "black", "linestyle": ":"},
    "reactor state machine": {"color": "tab:red", "linewidth": 2.5, "zorder": 3},
    "reactor coroutine": {"color": "tab:orange", "linewidth": 2.5, "zorder": 3},
    "uvloop Protocol": {"color": "tab:blue"},
    "uvloop streams": {"color": "tab:blue", "linestyle": "--"},
    "asyncio Protocol": {"color": "limegreen"},
    "asyncio Protocol, malloc tuned": {"color": "tab:green"},
    "asyncio streams": {"color": "tab:green", "linestyle": "--"},
    "asyncore with poll": {"color": "tab:brown"},
    "socketserver.ThreadingTCPServer": {"color": "tab:gray"},
    "gevent": {"color": "tab:purple"},
    "Twisted": {"color": "tab:cyan"},
    "Tornado": {"color": "tab:pink"},
    "trio": {"color": "tab:olive"},
    "curio": {"color": "navy"},
}
SHARES = (0.1, 0.5, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9999)


def draw(document: Mapping[str, Any], folder: Path) -> list[Path]:
    """Draw what the run has figures for; return the files."""
    if find_spec("matplotlib") is None:
        print("plots: skipped, matplotlib is not installed", file=sys.stderr)
        return []
    import matplotlib

    matplotlib.use("Agg")  # no screen
    drawn = []
    for result in document["results"]:
        name = result["name"].partition("-")[0]
        if name in PLOTS and result["samples"]:
            file = folder / f"{PLOTS[name].__name__}.png"
            figure = PLOTS[name](result)
            figure.savefig(file, dpi=100, bbox_inches="tight", metadata={"Software": None})
            drawn.append(file)
    return drawn


def throughput(result: Mapping[str, Any]) -> Any:
    """Requests a second with more and more connections, and as many as the CPU time would allow."""
    figure, (left, right) = _figure(2)
    for name, counts in result["samples"].items():
        at = [int(count) for count in counts]
        left.plot(at, [max(s["rate"] for s in of) for of in counts.values()], label=name, **_style(name))
        cheapest = [min(s["cpu"] for s in of) for of in counts.values()]
        right.plot(at, [1e6 / cpu for cpu in cheapest], label=name, **_style(name))
    for axes in (left, right):
        axes.set(xscale="log", xlabel="connections, all active", ylim=(0, None))
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.yaxis.set_major_formatter("{x:,.0f}")
        axes.grid(alpha=0.3)
    left.set(ylabel="lines of 64 bytes a second", title="throughput")
    right.set(ylabel="lines for a second of the server's CPU", title="if the server's CPU were all there is")
    right.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def memory(result: Mapping[str, Any]) -> Any:
    """KiB for an idle connection."""
    figure, (axes,) = _figure(1)
    weights = {name: _weight(samples) for name, samples in result["samples"].items()}
    names = sorted(weights, key=lambda name: weights[name], reverse=True)
    colours = [_style(name).get("color", "tab:gray") for name in names]
    bars = axes.barh(names, [weights[name] for name in names], color=colours)
    axes.bar_label(bars, fmt="%.1f", padding=3)
    axes.set(xscale="log", xlim=(0.3, 60), xlabel="KiB of the server's memory")
    axes.set(title="an idle connection, after one line")
    return figure


def latency(result: Mapping[str, Any]) -> Any:
    """Latency percentiles under one and the same load."""
    figure, (axes,) = _figure(1)
    for name, sample in result["samples"].items():
        values = [percentile(sample["latencies"], share) / 1e3 for share in SHARES]
        axes.plot([1 / (1 - share) for share in SHARES], values, label=name, **_style(name))
    axes.set(xscale="log", yscale="log", xlabel="percentile", ylabel="µs from due to answered")
    axes.set_xticks(
        [1 / (1 - share) for share in SHARES], [f"{share * 100:g}" for share in SHARES], fontsize=8
    )
    axes.minorticks_off()
    axes.set(title=result["about"].partition(" on ")[0])
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


PLOTS = {"curve": throughput, "idle": memory, "offered": latency}


def _weight(samples: Mapping[str, Any]) -> float:
    last = list(samples.values())[-1]
    return max(0.01, median(each["private"] for each in last))


def _figure(columns: int) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.5 * columns, 4.5))
    return figure, figure.subplots(1, columns, squeeze=False)[0]


def _style(name: str) -> dict[str, Any]:
    return STYLES.get(name, {"alpha": 0.4})
