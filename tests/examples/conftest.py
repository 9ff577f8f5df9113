"""What holds for every test of the examples, and the key-value store for its tests."""

import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from types import ModuleType

import pytest

from tests.examples.processes import EXAMPLES
from tests.examples.shop import Shop


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


@pytest.fixture(scope="module")
def kv() -> Iterator[ModuleType]:
    """examples/kv.py as a module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLES))
        import kv

        yield kv
    for name in ("kv", "kv_commands", "common"):
        sys.modules.pop(name, None)


@pytest.fixture
def shop(kv: ModuleType) -> Iterator[Shop]:
    with Shop(kv) as shop:
        yield shop
