"""The command line: `make mutants`."""

from __future__ import annotations

import argparse
import pathlib
import sys
import tempfile
import time
from collections import Counter

from tests.mutants import ROOMS, reviewed
from tests.mutants.covering import Covering
from tests.mutants.run import Trial, Verdict, workshops
from tests.mutants.statements import Mutant, mutants
from tests.mutants.workshop import ROOT, ToolError

#: The share of all deletions that the tests have to catch.
WANTED = 0.9

#: Seconds for the run of the whole suite that finds out which test covers what.
WATCHING = 1200.0


def main() -> int:
    options = _options()
    found = [mutant for room in options.rooms for mutant in mutants(room, (ROOT / room).read_bytes())]
    entries = reviewed.load()
    stale = reviewed.stale(entries, found)
    chosen = [mutant for mutant in found if not options.only or _matches(mutant, options.only)]
    if options.list:
        for mutant in chosen:
            print(mutant)
        return 0
    for entry in stale:
        print(f"reviewed, and there no more: {entry}")
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        verdicts = _try(chosen, options, pathlib.Path(folder))
    failures = _summary(verdicts, {entry.key for entry in entries}, whole=not options.only)
    return 1 if failures or stale else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutants",
        description="Delete statements one at a time and see whether a test notices.",
    )
    parser.add_argument("rooms", nargs="*", default=ROOMS, help="the files (default: %(default)s)")
    parser.add_argument("--list", action="store_true", help="only list what would be deleted")
    parser.add_argument(
        "--only", action="append", metavar="FILE[:FUNCTION]", help="only there; may be given more than once"
    )
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time (default: %(default)s)")
    parser.add_argument(
        "--seconds", type=float, default=10.0, help="worth of tests for one deletion (default: %(default)g)"
    )
    return parser.parse_args()


def _matches(mutant: Mutant, only: list[str]) -> bool:
    for place in only:
        file, _, function = place.partition(":")
        if mutant.file == file and f"{mutant.function}.".startswith(f"{function}." if function else ""):
            return True
    return False


def _try(chosen: list[Mutant], options: argparse.Namespace, scratch: pathlib.Path) -> list[Verdict]:
    start = time.monotonic()
    copies = workshops(scratch, options.jobs)
    watched = scratch / "watched"
    watched.mkdir()
    print("running the suite under coverage", flush=True)
    covering = Covering(copies[0], options.rooms, watched, WATCHING)
    print(f"{len(covering.seconds)} fast tests, {covering.left_out} left out", flush=True)
    verdicts = []
    for verdict in Trial(covering, copies, options.seconds).verdicts(chosen):
        verdicts.append(verdict)
        print(f"[{len(verdicts)}/{len(chosen)}, {time.monotonic() - start:.0f} s] {verdict}", flush=True)
    return verdicts


def _summary(verdicts: list[Verdict], known: set[tuple[str, str, str, int]], whole: bool) -> int:
    """Print it; return the number of reasons to be dissatisfied."""
    deleted = Counter(verdict.mutant.file for verdict in verdicts)
    caught = Counter(verdict.mutant.file for verdict in verdicts if verdict.caught_by)
    survivors = sorted((verdict.mutant for verdict in verdicts if not verdict.caught_by), key=_place)
    expected = Counter(mutant.file for mutant in survivors if mutant.key in known)
    refuted = [verdict for verdict in verdicts if verdict.caught_by and verdict.mutant.key in known]
    print()
    for heading, names in (("survived, and not reviewed", known), ("survived as reviewed", None)):
        these = [mutant for mutant in survivors if (mutant.key in known) is (names is None)]
        if these:
            print(f"{heading}:")
            for mutant in these:
                print(f"  {mutant}")
    for verdict in refuted:
        print(f"reviewed as unnoticeable, and caught: {verdict}")
    print(f"\n{'':24}{'deletions':>10}{'caught':>10}{'share':>8}{'survived':>10}{'reviewed':>10}")
    for room in [*deleted, "together"]:
        rooms = list(deleted) if room == "together" else [room]
        all_, good, fine = (sum(count[each] for each in rooms) for count in (deleted, caught, expected))
        print(f"{room:24}{all_:10}{good:10}{good / max(all_, 1):8.1%}{all_ - good:10}{fine:10}")
    failures = len(survivors) - expected.total() + len(refuted)
    if whole and caught.total() < WANTED * deleted.total():
        print(f"fewer than {WANTED:.0%} are caught")
        failures += 1
    return failures


def _place(mutant: Mutant) -> tuple[str, int]:
    return mutant.file, mutant.lines.start


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ToolError as problem:
        sys.exit(f"the tests could not be run:\n{problem}")
