"""The examples, and handlers as users write them, are as well typed as the package: mypy agrees."""

import subprocess
import sys

import pytest

from tests.examples.processes import ROOT


@pytest.mark.timeout(180)  # without its cache it looks at the standard library first
def test_mypy_agrees() -> None:
    pytest.importorskip("mypy")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "examples", "tests/typed"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert (done.stdout.splitlines()[-1].startswith("Success"), done.returncode) == (True, 0), done.stdout
