"""Trying mutants: each in a copy of the project, with the tests that may notice it."""

from __future__ import annotations

import pathlib
import queue
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass

from tests.mutants.covering import Covering
from tests.mutants.statements import Mutant
from tests.mutants.workshop import FAILED, Result, Workshop

#: How many tests are tried before all the others: most mutants need no more.
FIRST = 40

#: Files those come from, for what costs time there is importing and collecting a file's tests.
FIRST_FILES = 3

#: Seconds for one test. Those that are chosen take much less.
PATIENCE = 4.0


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant. `caught_by`: a test, or what else failed; `None` for a survivor."""

    mutant: Mutant
    caught_by: Result | None
    tests: int

    def __str__(self) -> str:
        if self.caught_by is None:
            return f"SURVIVED {self.tests} tests: {self.mutant}"
        how = "caught by a hang in" if self.caught_by.outcome == "hung" else "caught by"
        return f"{self.mutant}\n    {how} {self.caught_by.test}"


class Trial:
    """Tries mutants, *jobs* at a time, each with *seconds* worth of tests at most."""

    def __init__(self, covering: Covering, workshops: Iterable[Workshop], seconds: float) -> None:
        self._covering = covering
        self._workshops: queue.SimpleQueue[Workshop] = queue.SimpleQueue()
        self._jobs = 0
        for workshop in workshops:
            self._workshops.put(workshop)
            self._jobs += 1
        self._seconds = seconds
        #: By function, the tests that have caught something in it, and would again. Not by
        #: a hang, which takes so long.
        self._catchers: defaultdict[str, dict[str, None]] = defaultdict(dict)

    def verdicts(self, mutants: Iterable[Mutant]) -> Iterator[Verdict]:
        """One for each, as they come."""
        with ThreadPoolExecutor(self._jobs) as pool:
            trials = [pool.submit(self._try, mutant) for mutant in mutants]
            try:
                for trial in as_completed(trials):
                    yield trial.result()
            finally:
                pool.shutdown(cancel_futures=True)

    def _try(self, mutant: Mutant) -> Verdict:
        workshop = self._workshops.get()
        original = (workshop.folder / mutant.file).read_bytes()
        try:
            workshop.write(mutant.file, mutant.source)
            return self._judge(workshop, mutant)
        finally:
            workshop.write(mutant.file, original)
            self._workshops.put(workshop)

    def _judge(self, workshop: Workshop, mutant: Mutant) -> Verdict:
        tried = 0
        for tests in self._batches(mutant):
            cost = sum(self._covering.seconds[test] for test in tests)
            results = workshop.run("-x", tests=tests, limit=60 + 3 * cost, patience=PATIENCE)
            tried += len(tests)
            for result in results:
                if result.outcome in FAILED:
                    if result.outcome == "failed" and result.test in self._covering.seconds:
                        self._catchers[mutant.function][result.test] = None
                    return Verdict(mutant, result, tried)
        return Verdict(mutant, None, tried)

    def _batches(self, mutant: Mutant) -> Iterator[list[str]]:
        chosen = self._within_time(self._covering.tests(mutant))
        likely = [test for test in reversed(list(self._catchers[mutant.function])) if test in set(chosen)]
        files = list(dict.fromkeys(map(_file, likely[:FIRST] + chosen)))[:FIRST_FILES]
        first = list(dict.fromkeys([*likely, *(test for test in chosen if _file(test) in files)]))[:FIRST]
        rest = [test for test in chosen if test not in set(first)]
        yield first
        if rest:
            yield rest

    def _within_time(self, tests: list[str]) -> list[str]:
        left = self._seconds
        chosen = []
        for test in tests:
            left -= self._covering.seconds[test]
            if left < 0:
                break
            chosen.append(test)
        return chosen


def _file(test: str) -> str:
    return test.partition("::")[0]


def workshops(scratch: pathlib.Path, count: int) -> list[Workshop]:
    """Copies of the project to work in."""
    return [Workshop(scratch / f"copy-{number}") for number in range(1, count + 1)]
