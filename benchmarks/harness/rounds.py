"""Interleaving: every contender once a round, so that noise falls on all of them alike."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

from harness.contenders import Contender
from harness.figures import Result
from harness.processes import BenchmarkError

Sample = TypeVar("Sample")


def interleave(
    result: Result,
    contenders: Sequence[Contender],
    rounds: int,
    measure: Callable[[Contender], Sample],
) -> dict[Contender, list[Sample]]:
    """Measure each contender once a round; return the samples of those that came through.

    The order is rotated from round to round: nobody always runs after the same
    neighbour. One that fails is reported in `result` and left out from there on,
    together with what it had, because its samples no longer pair up with others'.
    """
    running: dict[Contender, list[Sample]] = {}
    for contender in contenders:
        if contender.missing is None:
            running[contender] = []
        elif contender.missing not in result.notes:
            result.notes.append(contender.missing)
    for number in range(rounds):
        order = list(running)
        shift = number % len(order) if order else 0
        for contender in order[shift:] + order[:shift]:
            progress(f"{result.name}: round {number + 1} of {rounds}, {contender.name}")
            try:
                running[contender].append(measure(contender))
            except (BenchmarkError, OSError) as error:  # OSError: gone while it was read
                result.failures.append(f"{contender.name}: {error}")
                del running[contender]
    progress("")
    return running


def progress(text: str) -> None:
    """Show where we are to a person who waits, on a line of its own that is written over."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
