"""Which tests are likely to notice that a statement is gone.

The suite is run once under coverage, with a context for each test; forked children and other
processes are measured too. A statement that is run by importing its file has no such tests: then
those count that use or mention the name it binds.
"""

from __future__ import annotations

import ast
import pathlib
import re
from collections import defaultdict
from collections.abc import Iterable

from coverage import Coverage

from tests.mutants.mentions import named_first
from tests.mutants.statements import Mutant
from tests.mutants.workshop import FAILED, Result, ToolError, Workshop

#: Tests that say nothing of a deletion, or too slowly: of this tool, of programs of their own.
LEFT_OUT = ("tests/mutants", "tests/examples", "tests/typed", "tests/conformance")

#: Seconds. A test that takes longer is not one of the fast ones.
FAST = 1.0

#: With fewer tests than this that run a statement, those that stand beside them are tried too.
FEW = 40

#: Seconds for one test under coverage, which is slow where many threads run at once.
WATCHED = 60.0

_CONFIGURATION = """\
[run]
core = ctrace
include =
    {rooms}
relative_files = true
parallel = true
data_file = {data}
patch =
    _exit
    fork
context = ${{PYTEST_CURRENT_TEST-}}
disable_warnings =
    no-data-collected
    module-not-imported
    module-not-measured
    dynamic-conflict
"""


class Covering:
    """The tests that pass, are fast, and which lines each has run."""

    def __init__(self, workshop: Workshop, rooms: Iterable[str], scratch: pathlib.Path, limit: float) -> None:
        self.folder = workshop.folder
        results = _measure(workshop, rooms, scratch, limit)
        self.seconds = {
            result.test: result.seconds
            for result in results
            if result.outcome == "passed" and result.seconds <= FAST
        }
        self.left_out = len(results) - len(self.seconds)
        self._lines = _lines_by_file(workshop.folder, scratch)
        self._functions = {file: _functions(workshop.folder / file) for file in self._lines}
        self._mentions: dict[str, set[str]] = {}

    def tests(self, mutant: Mutant) -> list[str]:
        """The fast tests that may notice, the likeliest and quickest first."""
        found: set[str] = set()
        if mutant.at_import:
            for name in mutant.binds:
                found |= self._users(name)
        else:
            lines = self._lines.get(mutant.file, {})
            found |= _union(lines, mutant.lines)
            if not found:  # never run: whoever comes close
                found |= _union(lines, self._functions.get(mutant.file, {}).get(mutant.function, ()))
        likely = self._ordered(found & self.seconds.keys() or self.seconds.keys())
        if len(likely) < FEW:  # a process that was killed has not said what it ran: see the neighbours
            files = {test.partition("::")[0] for test in likely}
            near = {test for test in self.seconds if test.partition("::")[0] in files}
            likely += self._ordered(near.difference(likely))
        return named_first(likely, mutant.statement, self.folder)

    def _ordered(self, tests: Iterable[str]) -> list[str]:
        """One of each test function first, then the next of each: parameters differ less than
        functions do. The quickest first."""
        families = defaultdict(list)
        for test in sorted(tests, key=lambda test: (self.seconds[test], test)):
            families[test.partition("[")[0]].append(test)
        places = {test: place for family in families.values() for place, test in enumerate(family)}
        return sorted(places, key=lambda test: (places[test], self.seconds[test], test))

    def _users(self, name: str) -> set[str]:
        """The tests that run a line with this name, or stand in a file that mentions it."""
        if name not in self._mentions:
            found: set[str] = set()
            for file, lines in self._lines.items():
                found |= _union(lines, _lines_with(self.folder / file, name))
            word = re.compile(rf"\b{name}\b")
            files = {test.partition("::")[0] for test in self.seconds}
            mentioning = {file for file in files if word.search((self.folder / file).read_text())}
            found |= {test for test in self.seconds if test.partition("::")[0] in mentioning}
            self._mentions[name] = found
        return self._mentions[name]


def _measure(workshop: Workshop, rooms: Iterable[str], scratch: pathlib.Path, limit: float) -> list[Result]:
    configuration = scratch / "coveragerc"
    configuration.write_text(
        _CONFIGURATION.format(
            rooms="\n    ".join(str(workshop.folder / room) for room in rooms), data=scratch / "data"
        )
    )
    # Coverage starts itself in every Python that finds this in its environment.
    watched = workshop.run(
        *(f"--ignore={folder}" for folder in LEFT_OUT),
        limit=limit,
        patience=WATCHED,
        environment={"COVERAGE_PROCESS_START": str(configuration)},
    )
    tests = [result.test for result in watched if "::" in result.test]
    results = workshop.run(tests=tests, limit=limit, patience=WATCHED)
    failed = [result.test for result in results if result.outcome in FAILED]
    if failed:  # one that fails now and then is left out; one that always does ends it all here
        again = workshop.run(tests=failed, limit=limit, patience=WATCHED)
        if any(result.outcome in FAILED for result in again):
            raise ToolError(f"before anything is deleted:\n{workshop.console()}")
    return results


def _lines_by_file(folder: pathlib.Path, scratch: pathlib.Path) -> dict[str, dict[int, set[str]]]:
    coverage = Coverage(config_file=str(scratch / "coveragerc"), data_file=str(scratch / "data"))
    coverage.combine([str(scratch)], keep=False)
    data = coverage.get_data()
    if not data:
        raise ToolError("coverage has seen nothing: is its start-up file in this environment?")
    found: dict[str, dict[int, set[str]]] = {}
    for file in data.measured_files():
        path = pathlib.Path(file)
        name = str(path.relative_to(folder) if path.is_absolute() else path)
        by_line = data.contexts_by_lineno(file)
        found[name] = {line: {_test(context) for context in names} for line, names in by_line.items()}
    return found


def _test(context: str) -> str:
    """The test of a context; other processes have it from pytest, with its phase."""
    return re.sub(r" \((setup|call|teardown)\)", "", context).partition("|")[0]


def _union(by_line: dict[int, set[str]], lines: Iterable[int]) -> set[str]:
    return set().union(*(by_line.get(line, ()) for line in lines))


def _functions(path: pathlib.Path) -> dict[str, range]:
    """The lines of each function's and class's body, by qualified name."""
    found = {}

    def visit(node: ast.AST, names: tuple[str, ...]) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                found[".".join((*names, child.name))] = range(
                    child.body[0].lineno, (child.end_lineno or 0) + 1
                )
                visit(child, (*names, child.name))
            else:
                visit(child, names)

    visit(ast.parse(path.read_bytes()), ())
    return found


def _lines_with(path: pathlib.Path, name: str) -> set[int]:
    """Where a file uses a name, an attribute, or a string of it."""
    return {
        node.lineno
        for node in ast.walk(ast.parse(path.read_bytes()))
        if (isinstance(node, ast.Attribute) and node.attr == name)
        or (isinstance(node, ast.Name) and node.id == name)
        or (isinstance(node, ast.Constant) and node.value == name)
    }
