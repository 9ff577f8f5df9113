"""The report: Markdown for people, JSON beside it for whatever compares runs."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from harness.build import BENCHMARKS
from harness.figures import Result, Summary
from harness.machine import Quietness
from harness.settings import Settings

RESULTS = BENCHMARKS / "results"
LATEST = RESULTS / "latest.json"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table, padded so that it reads well as plain text too."""
    lines = [list(columns), *map(list, rows)]
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join("| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in lines)


def as_document(
    results: Sequence[Result],
    settings: Settings,
    conditions: Mapping[str, Any],
    quietness: Quietness,
    left_out: Sequence[str] = (),
) -> dict[str, Any]:
    """Return everything, raw samples included, as JSON has it."""
    return {
        "conditions": dict(conditions),
        "quietness": {**asdict(quietness), "text": quietness.text()},
        "settings": asdict(settings),
        "left_out": list(left_out),
        "results": [as_section(result) for result in results],
    }


def as_section(result: Result) -> dict[str, Any]:
    """Return one benchmark's part of the document."""
    marks = [{**asdict(mark), "verdict": mark.verdict} for mark in result.marks]
    return {**asdict(result), "marks": marks}


def section(result: Mapping[str, Any], level: int = 2) -> str:
    """Return one benchmark's part of the report: Markdown of what `as_section` returns."""
    parts = [f"{'#' * level} {result['name']}", result["about"]]
    if result["rows"]:
        parts.append(table(result["columns"], result["rows"]))
    notes = [f"- {note}" for note in result["notes"]]
    notes += [f"- **FAILED** {failure}" for failure in result["failures"]]
    if notes:
        parts.append("\n".join(notes))
    return "\n\n".join(part for part in parts if part) + "\n"


def marks_table(results: Sequence[Mapping[str, Any]]) -> str:
    """Return every mark with its verdict, missed ones like the others."""
    rows = [
        [
            mark["name"],
            f"{mark['sense']} {mark['wanted']:g}{mark['unit']}",
            _got(mark["got"]),
            mark["verdict"],
        ]
        for result in results
        for mark in result["marks"]
    ]
    if not rows:
        return ""
    verdicts = Counter(row[-1] for row in rows)
    counted = ", ".join(f"{verdict} {count}" for verdict, count in sorted(verdicts.items()))
    return table(["mark", "wanted", "measured", ""], rows) + f"\n\n{counted}\n"


def write(document: Mapping[str, Any], report: str) -> None:
    """Write both where the next run finds them, and a person looks."""
    RESULTS.mkdir(exist_ok=True)
    LATEST.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    LATEST.with_suffix(".md").write_text(report, encoding="utf-8")
    print(f"written: {LATEST.relative_to(BENCHMARKS.parent)}, and as .md", file=sys.stderr)


def _got(got: Mapping[str, float] | None) -> str:
    return "no figure" if got is None else Summary(**got).text()
