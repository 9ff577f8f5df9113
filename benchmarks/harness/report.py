"""The report: Markdown for people on stdout, JSON beside it for whatever compares runs."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

from harness.build import BENCHMARKS
from harness.figures import Result, Summary
from harness.settings import Settings

LATEST = BENCHMARKS / "results" / "latest.json"


def conditions() -> dict[str, str | int | None]:
    """Return what figures have to be read with: the interpreter, the machine, the peers."""
    try:
        uvloop: str | None = version("uvloop")
    except PackageNotFoundError:
        uvloop = None
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "uvloop": uvloop,
        "kernel": platform.release(),
        "machine": platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
    }


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table, padded so that it reads well as plain text too."""
    lines = [list(columns), *map(list, rows)]
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join("| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in lines)


def show(result: Result) -> None:
    """Print one benchmark's section."""
    print(f"## {result.name}\n\n{result.about}\n")
    if result.rows:
        print(table(result.columns, result.rows) + "\n")
    for note in result.notes:
        print(f"- {note}")
    for failure in result.failures:
        print(f"- **FAILED** {failure}")
    if result.notes or result.failures:
        print()
    sys.stdout.flush()


def show_marks(results: Sequence[Result]) -> None:
    """Print every mark with its verdict, missed ones like the others."""
    marks = [mark for result in results for mark in result.marks]
    rows = [
        [mark.name, f"{mark.sense} {mark.wanted:g}{mark.unit}", _got(mark.got), mark.verdict]
        for mark in marks
    ]
    if rows:
        print("## Marks\n\n" + table(["mark", "wanted", "measured", ""], rows) + "\n", flush=True)


def save(results: Sequence[Result], settings: Settings) -> None:
    """Write everything, raw samples included, to `results/latest.json`."""
    LATEST.parent.mkdir(exist_ok=True)
    document = {
        "conditions": conditions(),
        "settings": asdict(settings),
        "results": [
            {
                **asdict(result),
                "marks": [{**asdict(mark), "verdict": mark.verdict} for mark in result.marks],
            }
            for result in results
        ],
    }
    LATEST.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"written: {LATEST.relative_to(BENCHMARKS.parent)}", file=sys.stderr)


def _got(got: Summary | None) -> str:
    return "no figure" if got is None else got.text()
