"""What came of it: as figures for the terminal, and as a table of who survives what."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.abuse.contenders import PROGRAMS
from tests.abuse.scene import ROWS
from tests.abuse.survival import Figures


@dataclass(frozen=True)
class Outcome:
    """What came of one row on one program: its figures, or why it did not survive, or could not be tried."""

    row: str
    program: str
    figures: Figures | None = None
    failure: str | None = None
    skipped: bool = False

    @property
    def failed(self) -> bool:
        return self.failure is not None and not self.skipped

    @classmethod
    def of(cls, values: dict[str, Any]) -> Outcome:
        """From JSON."""
        figures = values.pop("figures")
        return cls(**values, figures=None if figures is None else Figures(**figures))


def figures_lines(found: Iterable[Figures]) -> Iterator[str]:
    """A line for each, with a heading."""
    yield f"{'row':26} {'program':23} {'peak MiB':>8} {'CPU s':>7} {'lost':>5} {'of':>6} {'longest wait':>14}"
    for each in found:
        yield (
            f"{each.row:26} {each.program:23} {each.growth:8.1f} {each.cpu:7.2f} {each.lost:5} "
            f"{each.asked:6} {each.longest_wait:12.3f} s"
        )


def table(outcomes: Iterable[Outcome]) -> str:
    """A markdown table, rows by programs, and below it why those that did not survive did not."""
    found: dict[tuple[str, str], Outcome] = {}
    for each in outcomes:
        found[each.row, PROGRAMS[each.program].label] = each
    rows = [name for name in ROWS if any(row == name for row, _ in found)]
    labels = list(dict.fromkeys(program.label for program in PROGRAMS.values()))
    labels = [label for label in labels if any(column == label for _, column in found)]
    lines = [_line(["", *labels]), _line(["---"] * (len(labels) + 1))]
    for row in rows:
        cells = [_cell(found.get((row, label))) for label in labels]
        lines.append(_line([ROWS[row].sentence, *cells]))
    counts = [
        f"{sum(each.failure is None for each in column)} of {len(column)}"
        for label in labels
        for column in [[each for (_, of), each in found.items() if of == label and not each.skipped]]
    ]
    lines += [_line(["**survived**", *counts]), ""]
    for row in rows:
        for label in labels:
            failed = found.get((row, label))
            if failed is not None and failed.failure is not None:
                lines.append(f"- {ROWS[row].sentence}; {label}: {failed.failure}")
    return "\n".join(lines)


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(outcome: Outcome | None) -> str:
    if outcome is None or outcome.skipped:
        return ""
    return "yes" if outcome.failure is None else "**no**"
