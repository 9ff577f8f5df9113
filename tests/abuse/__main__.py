"""`python -m tests.abuse`: rows x programs, and a table of who survives what."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed

from tests.abuse import rows  # noqa: F401 - defines them
from tests.abuse.contenders import PROGRAMS, Program
from tests.abuse.report import Outcome, table
from tests.abuse.scene import ROWS, CannotTell, Row
from tests.abuse.survival import survive

#: Seconds after which a server that is still under abuse is ended, whatever hangs.
LIFETIME = 90


def outcome(row: Row, program: Program) -> Outcome:
    """Whether *program* survives *row*. Never raises."""
    try:
        return Outcome(row.name, program.name, figures=survive(row, program, lifetime=LIFETIME))
    except AssertionError as exc:
        return Outcome(row.name, program.name, failure=str(exc).partition("\n")[0] or "an answer is wrong")
    except CannotTell as exc:
        return Outcome(row.name, program.name, failure=str(exc), skipped=True)
    except Exception as exc:
        return Outcome(row.name, program.name, failure=f"{type(exc).__name__}: {exc}")


def outcomes(pairs: list[tuple[Row, Program]]) -> Iterator[Outcome]:
    """Those that mostly wait all at the same time, then the others one after the other."""
    slow = [pair for pair in pairs if pair[0].slow]
    if slow:
        with ThreadPoolExecutor(len(slow)) as pool:
            for done in as_completed([pool.submit(outcome, *pair) for pair in slow]):
                yield done.result()
    for pair in pairs:
        if not pair[0].slow:
            yield outcome(*pair)


def _one_of(known: Iterable[str]) -> Callable[[str], str]:
    def check(name: str) -> str:
        if name not in known:
            raise argparse.ArgumentTypeError(f"{name} is none of {', '.join(known)}")
        return name

    return check


def main() -> int:
    """Returns the exit status: 1 if one of ours does not keep a promise."""
    parser = argparse.ArgumentParser(prog="python -m tests.abuse", description=__doc__)
    parser.add_argument(
        "--program", nargs="+", default=list(PROGRAMS), type=_one_of(PROGRAMS), metavar="NAME"
    )
    parser.add_argument("--row", nargs="+", default=list(ROWS), type=_one_of(ROWS), metavar="NAME")
    parser.add_argument(
        "--promised", action="store_true", help="only what the design promises of our programs"
    )
    parser.add_argument(
        "--json", action="store_true", help="print a line of JSON for each as soon as it is done"
    )
    arguments = parser.parse_args()

    pairs = [
        (ROWS[row], PROGRAMS[program])
        for row in arguments.row
        for program in arguments.program
        if ROWS[row].is_for(PROGRAMS[program]) and PROGRAMS[program].available
        if not arguments.promised or ROWS[row].is_promised_by(PROGRAMS[program])
    ]
    found = []
    for done in outcomes(pairs):
        found.append(done)
        if arguments.json:
            print(json.dumps(dataclasses.asdict(done)), flush=True)
        else:
            print(f"{done.row}, {done.program}: {done.failure or 'survived'}", file=sys.stderr, flush=True)
    if not arguments.json:
        print(table(found))
    return int(any(ROWS[each.row].is_promised_by(PROGRAMS[each.program]) for each in found if each.failed))


if __name__ == "__main__":
    sys.exit(main())
