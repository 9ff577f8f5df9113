"""Keeps the tests' own process small: thousands of them fork it, which costs what it has in memory.

And has it hear Ctrl-C, wherever it was started.
"""

from __future__ import annotations

import ctypes
import gc
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
#: Where servers fork in the tests' own process: these folders come first, while it is small.
FORKING = {HERE / "servers", HERE / "differential"}


def pytest_configure() -> None:
    """A shell has what it runs in the background ignore Ctrl-C, and so would all that a test runs."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.parent not in FORKING)


def pytest_collection_finish() -> None:
    """Thousands of tests are no garbage: no collection looks at them, and no child writes to their pages."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def _memory_given_back() -> Iterator[None]:
    """What threads have allocated and freed stays with the process, unless glibc is told."""
    yield
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
