"""Figures in the terminal's summary, and rows that wait in the background."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.abuse.contenders import Program
from tests.abuse.report import Outcome, figures_lines
from tests.abuse.scene import CannotTell, Row
from tests.abuse.survival import Figures, survive
from tests.abuse.target import ROOT, until

HERE = Path(__file__).parent

#: Seconds that the slowest row may take, and then some.
LONGEST = 55.0

_FIGURES = pytest.StashKey[list[Figures]]()
_SLOW = pytest.StashKey[list[tuple[str, str]]]()


def _slow_pair(item: pytest.Item) -> tuple[str, str] | None:
    """The names of row and program of a test that waits for one in the background."""
    if "slow_outcome" not in getattr(item, "fixturenames", ()):
        return None
    parameters = item.callspec.params  # type: ignore[attr-defined]
    return parameters["row"].name, parameters["program"].name


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_FIGURES] = []
    config.stash[_SLOW] = []


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What is waited for comes last of what is here: others' tests may wait for any child there is."""
    here = [number for number, item in enumerate(items) if item.path.parent == HERE]
    ordered = sorted((items[number] for number in here), key=lambda item: _slow_pair(item) is not None)
    for number, item in zip(here, ordered, strict=True):
        items[number] = item
    config.stash[_SLOW] = [pair for item in items if (pair := _slow_pair(item))]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    found = config.stash[_FIGURES]
    if found:
        terminalreporter.section("what abuse has cost")
        for line in figures_lines(found):
            terminalreporter.line(line)


@pytest.fixture(scope="session")
def figures(pytestconfig: pytest.Config) -> list[Figures]:
    """Those to be shown at the end."""
    return pytestconfig.stash[_FIGURES]


@pytest.fixture
def try_out(figures: list[Figures]) -> Callable[[Row, Program], None]:
    """Run a row on a program."""

    def try_out(row: Row, program: Program) -> None:
        try:
            figures.append(survive(row, program))
        except CannotTell as exc:
            pytest.skip(str(exc))

    return try_out


@pytest.fixture(scope="package")
def slow_outcome(_background: Callable[[str, str], Outcome]) -> Callable[[str, str], Outcome]:
    """What came of a row and a program in the background."""
    return _background


@pytest.fixture(scope="package", autouse=True)
def _background(pytestconfig: pytest.Config) -> Iterator[Callable[[str, str], Outcome]]:
    """All rows that are slow, at the same time, in a process of their own, from the first test here on."""
    pairs = pytestconfig.stash[_SLOW]
    if not pairs:
        yield lambda row, program: pytest.fail("not in the background")
        return
    rows, programs = (list(dict.fromkeys(names)) for names in zip(*pairs, strict=True))
    command = [sys.executable, "-m", "tests.abuse", "--json", "--promised"]
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [*command, "--row", *rows, "--program", *programs],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
        )

        def find(row: str, program: str) -> Outcome | None:
            output.seek(0)
            for line in output.read().splitlines():
                outcome = Outcome.of(json.loads(line))
                if (outcome.row, outcome.program) == (row, program):
                    return outcome
            assert process.poll() is None, "what runs in the background has ended without a word on this"
            return None

        def wait(row: str, program: str) -> Outcome:
            found: Outcome = until(lambda: find(row, program), "no outcome", LONGEST, poll=0.2)
            return found

        try:
            yield wait
        finally:
            process.kill()  # the servers under abuse go with it
            process.wait()
