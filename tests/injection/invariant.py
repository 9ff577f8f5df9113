"""The invariant: what holds after each fault, whatever failed."""

from __future__ import annotations

import contextlib
import gc
import logging
import pathlib
import time
from collections.abc import Callable, Iterator
from typing import Any

from tests.injection.faults import Faults
from tests.support.servers import nothing_left

#: Seconds that anything may take; many cases fail at once when something is broken.
PATIENCE = 10.0
#: Seconds in which an idle server does nothing.
WINDOW = 0.005
#: Of one processor, had or wanted, afterwards.
CPU = 0.05


class Lines(logging.Handler):
    """The package's log, from warnings up."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def texts(self) -> list[str]:
        return [f"{each.levelname}: {each.getMessage()}" for each in self.records]


def until(condition: Callable[[], Any], what: str, patience: float = PATIENCE) -> None:
    """Wait until *condition* is true."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.001)


def comes_to_rest(faults: Faults, thread: Any) -> None:
    """The loop sleeps in its selector and uses no processor; one that spins never does.

    Nor would a spinning one while others have all processors: so what counts is that it sleeps,
    and that it has neither run nor waited for its turn to run.
    """
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        kernels = [each.kernel for each in faults.selectors]
        before = sum(each.returns for each in kernels), _wanted(thread), time.monotonic()
        time.sleep(WINDOW)  # the one thing here that is measured and not waited for
        asleep = _state(thread) == "S"
        returns = sum(each.returns for each in kernels) - before[0]
        share = (_wanted(thread) - before[1]) / (time.monotonic() - before[2])
        if asleep and returns <= 2 and share < CPU:
            return
    raise AssertionError(f"the loop does not rest: {returns} returns of its selector, {share:.0%} CPU")


def _state(thread: Any) -> str:
    return _of(thread, "stat").rpartition(")")[2].split()[0]


def _wanted(thread: Any) -> float:
    """Seconds that a thread has run or waited for a processor."""
    ran, waited, _ = _of(thread, "schedstat").split()
    return (int(ran) + int(waited)) / 1e9


def _of(thread: Any, name: str) -> str:
    return pathlib.Path(f"/proc/self/task/{thread.native_id}/{name}").read_text()


class Watch:
    """The log and the resources of one case."""

    def __init__(self) -> None:
        self.lines = Lines()
        self.began = time.monotonic()


@contextlib.contextmanager
def watching() -> Iterator[Watch]:
    """Notes what is logged inside; nothing may be left at the end."""
    gc.collect(0)
    logger = logging.getLogger("reactor")
    watch = Watch()
    logger.addHandler(watch.lines)
    propagate, logger.propagate = logger.propagate, False
    try:
        with nothing_left():
            yield watch
    finally:
        logger.propagate = propagate
        logger.removeHandler(watch.lines)


def holds_at_work(scene: Any, faults: Faults, most_lost: int) -> None:
    """The server still serves: all but those whom the fault concerned, newcomers, and in peace."""
    assert faults.fired, "no such call was made"
    faults.disarm()
    scene.round()  # who was answered before it happened hears of it now
    lost = len(scene.lost)
    assert lost <= most_lost, f"{lost} peers were harmed; the fault concerned {most_lost}"
    scene.round()
    assert len(scene.lost) == lost, "somebody was lost when nothing failed any more"
    assert scene.thread.is_alive(), f"the loop ended: {scene.thread.raised!r}"
    comes_to_rest(faults, scene.thread)


def holds_at_the_end(scene: Any, watch: Watch, silent: bool) -> None:
    """Every connection has ended, once; one line a second was logged at most, and none if *silent*."""
    until(lambda: not scene.unended(), "not ended")
    assert not scene.complaints(), scene.complaints()
    assert scene.rows() == 0, "rows are left over"
    seconds = time.monotonic() - watch.began
    assert len(watch.lines.records) <= (0 if silent else 1 + seconds), watch.lines.texts()
