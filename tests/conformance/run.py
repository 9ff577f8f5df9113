"""Run CPython's own suites with our module under the standard name, on the interpreter that runs this.

usage: run.py [--standard] [SUITE...]

`--standard` runs the same with the standard module: a test that fails there too is not our failure.
Exits with 1 if a suite fails or is skipped whole, with 3 if the interpreter has no `test` package.
"""

import argparse
import collections
import importlib.util
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))

from tests.conformance.substitution import HERE, environment

PATIENCE = 120.0
NO_SUITES = 3

#: Each suite, and the parts of it that concern us; all of it where nothing is said.
SUITES: dict[str, list[str]] = {
    "test_socketserver": [],
    "test_httpservers": [],
    "test_xmlrpc": [],
    "test_docxmlrpc": [],
    "test_wsgiref": [],
    "test_urllib2_localnet": [],
    "test_imaplib": [],
    "test_logging": [
        "*SocketHandlerTest.*",
        "*DatagramHandlerTest.*",
        "*SysLogHandlerTest.*",
        "*HTTPHandlerTest.*",
        "*.test_listen_*",
    ],
}

#: `walltime`: tests that take long. `network`: what test_socketserver asks for, though it uses the
#: loopback alone; elsewhere it means servers on the internet.
RESOURCES = collections.defaultdict(lambda: "walltime", test_socketserver="walltime,network")


def run_suite(name: str, ours: bool) -> dict[str, Any]:
    """Run it in a Python of its own. What it printed is in the outcome's "log"."""
    command = [sys.executable, str(HERE / "suite.py"), name, RESOURCES[name], *SUITES[name]]
    with tempfile.TemporaryDirectory(prefix="conformance-") as folder, tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**environment(ours), "TMPDIR": folder},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
        )
        try:
            out, _ = process.communicate(timeout=PATIENCE)
            status = f"exit status {process.returncode}"
        except subprocess.TimeoutExpired:
            out, status = "", f"not done after {PATIENCE:.0f} seconds"
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)  # and what it may have left
            except ProcessLookupError:
                pass
            process.wait()
        log.seek(0)
        text = log.read().decode(errors="replace")
    try:
        outcome = json.loads(out.splitlines()[-1])
    except (IndexError, ValueError):
        outcome = {"run": 0, "failed": [status], "skipped": []}
    return {**outcome, "log": text}


def report(name: str, outcome: dict[str, Any]) -> bool:
    """Print a line for the suite, its skips, and its log if it failed. Whether it passed."""
    done, failed, skipped = outcome["run"], outcome["failed"], outcome["skipped"]
    passed = not failed and done > len(skipped)
    version = ".".join(map(str, sys.version_info[:2]))
    if not passed:
        print(outcome["log"])
    print(f"{version} {name}: {done} run, {len(failed)} failed, {len(skipped)} skipped")
    for reason, count in collections.Counter(skipped).items():
        print(f"    {count} skipped: {reason}")
    for test in failed:
        print(f"    FAILED: {test}")
    if not passed and not failed:
        print("    FAILED: skipped whole")
    return passed


def main() -> int:
    parser = argparse.ArgumentParser(description="Run CPython's own suites with our module.")
    parser.add_argument("--standard", action="store_true", help="with the standard module instead")
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"of {', '.join(SUITES)}")
    options = parser.parse_args()
    if unknown := set(options.suites) - set(SUITES):
        parser.error(f"no such suite: {', '.join(sorted(unknown))}")
    if importlib.util.find_spec("test") is None or importlib.util.find_spec("test.test_socketserver") is None:
        print(f"{sys.executable} has no `test` package: nothing to run")
        return NO_SUITES
    passed = True
    for name in options.suites or SUITES:
        passed &= report(name, run_suite(name, not options.standard))
        sys.stdout.flush()
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
