"""A copy of the project, in which its tests run with one file changed."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass

from tests.mutants import plugin

ROOT = pathlib.Path(__file__).parents[2]

_NOT_COPIED = shutil.ignore_patterns(
    ".*", "__pycache__", "*.egg-info", "build", "dist", "benchmarks", "*.pyc"
)


#: The outcomes of a test that has noticed something.
FAILED = ("failed", "hung")


class ToolError(Exception):
    """The tests could not even be started."""


@dataclass(frozen=True)
class Result:
    """What one test did. `outcome`: ``passed``, ``failed``, ``skipped``, or ``hung``."""

    test: str
    outcome: str
    seconds: float


class Workshop:
    """The copy. One run at a time."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder / "project"
        self._journal = folder / "journal"
        self._chosen = folder / "chosen"
        self._console = folder / "console"
        folder.mkdir(exist_ok=True)
        shutil.copytree(ROOT, self.folder, ignore=_NOT_COPIED)

    def write(self, file: str, source: bytes) -> None:
        """Change *file*. What was compiled is removed: its times are too coarse to tell it is old."""
        path = self.folder / file
        path.write_bytes(source)
        for compiled in path.parent.glob(f"__pycache__/{path.stem}.*.pyc"):
            compiled.unlink()

    def console(self) -> str:
        """What the last run wrote."""
        return self._console.read_text(errors="replace")

    def run(
        self,
        *arguments: str,
        tests: Iterable[str] | None = None,
        limit: float,
        patience: float,
        environment: dict[str, str] | None = None,
    ) -> list[Result]:
        """Run *tests*, in this order, or what *arguments* say; end them after *limit* seconds,
        or as soon as one takes longer than *patience*.

        Raises `ToolError` if no test was started and none failed to be.
        """
        self._journal.write_text("")
        environment = {
            **os.environ,
            **(environment or {}),
            "PYTHONPATH": str(self.folder),
            "PYTHONHASHSEED": "0",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # importing hypothesis takes longer than most runs
            plugin.JOURNAL: str(self._journal),
        }
        if tests is not None:
            tests = list(tests)
            self._chosen.write_text("".join(f"{test}\n" for test in tests))
            environment[plugin.CHOSEN] = str(self._chosen)
            arguments += tuple(dict.fromkeys(test.partition("::")[0] for test in tests))
        options = ("-q", "--tb=short", f"--timeout={patience:g}", "-p", "no:cacheprovider")
        plugins = ("-p", "pytest_timeout", "-p", plugin.__name__)
        with self._console.open("wb") as console:
            process = subprocess.Popen(
                [sys.executable, "-m", "pytest", *options, *plugins, *arguments],
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                status = process.wait(limit)
            except subprocess.TimeoutExpired:
                status = None
            finally:
                try:
                    os.killpg(process.pid, signal.SIGKILL)  # with what it left running
                except ProcessLookupError:
                    pass
                process.wait()
        return self._results(status)

    def _results(self, status: int | None) -> list[Result]:
        outcomes: dict[str, str] = {}
        seconds: dict[str, float] = {}
        for line in self._journal.read_text().splitlines():
            test, *phase = json.loads(line)
            if not phase:
                outcomes[test] = "hung"  # until its last phase is over
                continue
            name, outcome, duration = phase
            seconds[test] = seconds.get(test, 0.0) + duration
            if outcome != "passed" or (name == "teardown" and outcomes[test] == "hung"):
                outcomes[test] = outcome
        results = [Result(test, outcome, seconds.get(test, 0.0)) for test, outcome in outcomes.items()]
        if status != 0 and not any(result.outcome in FAILED for result in results):
            results.append(self._whole(status))
        return results

    def _whole(self, status: int | None) -> Result:
        """What failed that was no test."""
        if status is None:
            return Result("the time limit", "hung", 0.0)
        console = self.console()
        if "errors during collection" in console or "error during collection" in console:
            return Result("importing the tests", "failed", 0.0)
        if status == 5 or "unrecognized arguments" in console or "file or directory not found" in console:
            raise ToolError(console)
        return Result("the end of the run", "failed", 0.0)
