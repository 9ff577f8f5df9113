"""Run CPython's own suites with our modules under the standard names, on the interpreter that runs this.

usage: run.py [--standard] [SUITE...]

`--standard` runs the same with the standard modules: a test that fails there too is not our failure.
Exits with 1 if a suite fails or is skipped whole, with 3 if the interpreter has no `test` package.
"""

import argparse
import collections
import functools
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

from tests.conformance.substitution import HERE, ROOT, environment

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
    "test_asyncore": [],
    "test_asynchat": [],
    "test_smtpd": [],
    "test_ftplib": [],
    "test_poplib": [],
    "test_smtplib": [],
    "test_ssl": ["*.test_asyncore_server"],
    "test_logging": [
        "*SMTPHandlerTest.*",
        "*SocketHandlerTest.*",
        "*DatagramHandlerTest.*",
        "*SysLogHandlerTest.*",
        "*HTTPHandlerTest.*",
        "*.test_listen_*",
    ],
}

#: Python 3.12 has removed these; 3.11's files are run on every version.
REMOVED = ("test_asyncore", "test_asynchat", "test_smtpd")

#: `walltime`: tests that take long. `network`: what test_socketserver asks for, though it uses the
#: loopback alone; elsewhere it means servers on the internet.
RESOURCES = collections.defaultdict(lambda: "walltime", test_socketserver="walltime,network")


@functools.cache
def removed_suites() -> pathlib.Path | None:
    """The folder that has them: Python 3.11's `test` package, this interpreter's own or another's."""
    script = "import test.test_asyncore as suite; print(suite.__file__)"
    pythons = [sys.executable]
    if sys.version_info >= (3, 12):
        variables = {key: value for key, value in os.environ.items() if key != "PYTHON"}
        found = subprocess.run(
            [ROOT / ".ci" / "interpreters"], env=variables, capture_output=True, text=True, timeout=PATIENCE
        )
        lines = (line.split(" ", 1) for line in found.stdout.splitlines())
        pythons = [python for version, python in lines if version == "3.11"]
    for python in pythons:
        command = [python, "-W", "ignore", "-c", script]
        named = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
        if named.returncode == 0:
            return pathlib.Path(named.stdout.strip()).parent
    return None


def missing(name: str, ours: bool) -> str | None:
    """Why it cannot be run here at all."""
    if name not in REMOVED:
        return None
    if not ours and sys.version_info >= (3, 12):
        return "Python 3.12 has removed what it tests"
    if removed_suites() is None:
        return "no Python 3.11 with a `test` package to take it from"
    return None


def run_suite(name: str, ours: bool) -> dict[str, Any]:
    """Run it in a Python of its own. What it printed is in the outcome's "log"."""
    folder = removed_suites() if name in REMOVED else None
    suite = str(folder / f"{name}.py") if folder else name
    command = [sys.executable, str(HERE / "suite.py"), suite, RESOURCES[name], *SUITES[name]]
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
    parser = argparse.ArgumentParser(description="Run CPython's own suites with our modules.")
    parser.add_argument("--standard", action="store_true", help="with the standard modules instead")
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"of {', '.join(SUITES)}")
    options = parser.parse_args()
    if unknown := set(options.suites) - set(SUITES):
        parser.error(f"no such suite: {', '.join(sorted(unknown))}")
    if importlib.util.find_spec("test") is None or importlib.util.find_spec("test.test_socketserver") is None:
        print(f"{sys.executable} has no `test` package: nothing to run")
        return NO_SUITES
    passed = True
    for name in options.suites or SUITES:
        if reason := missing(name, not options.standard):
            print(f"{'.'.join(map(str, sys.version_info[:2]))} {name}: not run: {reason}", flush=True)
            continue
        passed &= report(name, run_suite(name, not options.standard))
        sys.stdout.flush()
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
