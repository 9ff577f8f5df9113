"""A plugin of pytest's for the process that runs the tests: it writes a journal and picks tests.

Every line of the journal is a list: a test's name as it starts, then with the result of each phase.
A process that is killed while it hangs has still said where.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import pytest

#: The environment's names for two files: where to write the journal, and the tests to run, one a line.
JOURNAL = "MUTANTS_JOURNAL"
CHOSEN = "MUTANTS_CHOSEN"

_process = os.getpid()


def _write(*entry: Any) -> None:
    if os.getpid() == _process:  # a child that was forked, and went astray, has nothing to say here
        with open(os.environ[JOURNAL], "a") as file:
            file.write(json.dumps(entry) + "\n")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if CHOSEN in os.environ:
        with open(os.environ[CHOSEN]) as file:
            chosen = file.read().splitlines()
        found = {item.nodeid: item for item in items}
        items[:] = [found[test] for test in chosen if test in found]


def pytest_runtest_logstart(nodeid: str) -> None:
    _write(nodeid)
    _switch_context(nodeid)


def pytest_runtest_logfinish() -> None:
    _switch_context("")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    _write(report.nodeid, report.when, report.outcome, report.duration)


def _switch_context(test: str) -> None:
    coverage = sys.modules.get("coverage")
    current = None if coverage is None else coverage.Coverage.current()
    if current is not None:
        current.switch_context(test)


def _forked() -> None:
    test = os.environ.get("PYTEST_CURRENT_TEST")
    if test is not None:
        _switch_context(test)


os.register_at_fork(after_in_child=_forked)
