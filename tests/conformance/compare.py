"""Run released programs with the standard modules and with ours, and compare what comes of each test.

From Python 3.12 on, the standard asyncore and asynchat are the frozen copies from PyPI.

usage: compare.py [NAME...]

A program's own tests where its source release has them and they run anywhere, else ours in `programs/`.
Exits with 1 if a test passes with the standard modules and not with ours, or a program has none that passes.
"""

import collections
import os
import pathlib
import re
import signal
import subprocess
import sys
import tarfile
import tempfile
import xml.etree.ElementTree as ET

sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))

from tests.conformance.substitution import HERE, ROOT, environment

PATIENCE = 300.0

#: Programs whose source releases have tests of their servers, and which.
OWN = {
    "prometheus_client": [
        "tests/test_exposition.py",
        "tests/test_graphite_bridge.py",
        # Fails with either module, every now and then: its client may see a reset instead.
        "-knot test_mtls_untrusted_client_cert_raises",
    ],
    "pyftpdlib": [
        f"tests/test_{name}.py"
        for name in ("ioloop", "functional", "servers", "authorizers", "filesystems", "cli")
    ],
    "pytest-localserver": ["tests"],
    "sshtunnel": ["tests"],
    "Werkzeug": ["tests/test_serving.py"],
    "zope.server": ["--pyargs", "zope.server"],
}
SCRIPTS = {path.stem.removeprefix("with_"): path for path in (HERE / "programs").glob("with_*.py")}
REQUIREMENTS = (HERE / "programs" / "requirements.txt").read_text()
SOURCES = ROOT / ".venv" / "sources"


def source(name: str) -> pathlib.Path:
    """The folder of the program's unpacked source release, of the version in the requirements."""
    version = re.search(rf"^{re.escape(name)} == (\S+)$", REQUIREMENTS, re.MULTILINE)
    assert version, f"{name} is not pinned"
    folder = SOURCES / f"{name}-{version[1]}"
    if not folder.exists():
        with tempfile.TemporaryDirectory() as archives, tempfile.TemporaryDirectory() as unpacked:
            pip = [
                sys.executable,
                "-m",
                "pip",
                "download",
                "--disable-pip-version-check",
                "--quiet",
                "--no-deps",
                "--no-binary=:all:",
            ]
            requirement = f"{name}=={version[1]}"
            subprocess.run([*pip, "--dest", archives, requirement], check=True, timeout=PATIENCE)
            with tarfile.open(next(pathlib.Path(archives).iterdir())) as archive:
                archive.extractall(unpacked, filter="data")
            SOURCES.mkdir(parents=True, exist_ok=True)
            (SOURCES / "pytest.ini").touch()  # or those that have none would take ours
            subprocess.run(["mv", next(pathlib.Path(unpacked).iterdir()), folder], check=True)
    return folder


def outcomes(name: str, ours: bool) -> dict[str, str]:
    """Each test and what came of it."""
    cwd, tests = (source(name), OWN[name]) if name in OWN else (ROOT, [str(SCRIPTS[name])])
    variables = environment(ours)
    if name in SCRIPTS:
        variables["PYTHONPATH"] = os.pathsep.join(filter(None, [variables.get("PYTHONPATH"), str(ROOT)]))
    options = ["-q", "-p", "no:cacheprovider", "-o", "addopts=", "-W", "default", "--timeout=60"]
    with tempfile.TemporaryDirectory() as folder:
        results = os.path.join(folder, "results.xml")
        command = [sys.executable, "-m", "pytest", *options, f"--junitxml={results}", *tests]
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            pass
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)  # and what it may have left
            except ProcessLookupError:
                pass
            process.wait()
        cases = ET.parse(results).iter("testcase") if os.path.exists(results) else []
        return {f"{case.get('classname')}.{case.get('name')}": outcome_of(case) for case in cases}


def outcome_of(case: ET.Element) -> str:
    marks = {child.tag for child in case}
    return next((mark for mark in ("error", "failure", "skipped") if mark in marks), "passed")


def compare(name: str) -> bool:
    """Print a line for the program, and what differs. Whether nothing is worse with our modules.

    Other people's tests of threads and clocks fail now and then, with either module: one that passes
    with the standard modules and fails with ours is run again with ours.
    """
    standard, ours = outcomes(name, ours=False), outcomes(name, ours=True)
    if worse(standard, ours):
        again = outcomes(name, ours=True)
        ours |= {test: again[test] for test in worse(standard, ours) if test in again}
    differing = [test for test in standard | ours if standard.get(test) != ours.get(test)]
    counts = collections.Counter(ours.values())
    told = ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))
    version = ".".join(map(str, sys.version_info[:2]))
    verdict = (
        f"{len(differing)} differ from the standard ones" if differing else "as with the standard modules"
    )
    print(f"{version} {name}: {len(ours)} tests, {told or 'none ran'}; {verdict}", flush=True)
    for test in differing:
        print(f"    {test}: {standard.get(test, 'not run')}, with ours {ours.get(test, 'not run')}")
    return not worse(standard, ours) and counts["passed"] > 0


def worse(standard: dict[str, str], ours: dict[str, str]) -> list[str]:
    """The tests that pass with the standard modules and not with ours."""
    return [test for test, outcome in standard.items() if outcome == "passed" != ours.get(test)]


def main() -> int:
    names = sys.argv[1:] or sorted([*OWN, *SCRIPTS], key=str.lower)
    same = [compare(name) for name in names]
    return 0 if all(same) else 1


if __name__ == "__main__":
    sys.exit(main())
