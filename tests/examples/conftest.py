"""What holds for every test of the examples."""

import os
import signal
import tempfile
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="session")
def _interruptible() -> Iterator[None]:
    """A shell's background jobs ignore Ctrl-C, and what they start would do so too."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True, scope="session")
def _private_sockets() -> Iterator[None]:
    """The Unix sockets of servers that a test has killed go with this directory."""
    before = os.environ.get("TMPDIR")
    with tempfile.TemporaryDirectory() as directory:
        os.environ["TMPDIR"] = directory
        yield
        if before is None:
            del os.environ["TMPDIR"]
        else:
            os.environ["TMPDIR"] = before
