"""The invariant: what holds after each fault, whatever failed."""

from __future__ import annotations

import contextlib
import gc
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

from tests.injection.faults import Faults
from tests.support.servers import nothing_left

#: Seconds that anything may take; many cases fail at once when something is broken.
PATIENCE = 10.0
#: Seconds in which an idle server does nothing.
WINDOW = 0.005
#: Of one processor, afterwards.
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
    """The loop is in its selector, and stays there using no processor; a spinning one never does."""
    clock = time.pthread_getcpuclockid(thread.ident)
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        kernels = [each.kernel for each in faults.selectors]
        before = sum(each.returns for each in kernels), time.clock_gettime(clock), time.monotonic()
        time.sleep(WINDOW)  # the one thing here that is measured and not waited for
        returns = sum(each.returns for each in kernels) - before[0]
        share = (time.clock_gettime(clock) - before[1]) / (time.monotonic() - before[2])
        if returns <= 2 and share < CPU:
            return
    raise AssertionError(f"the loop does not rest: {returns} returns of its selector, {share:.0%} CPU")


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
    scene.round()  # whoever was lost after a reply, in a `modify`, notices now
    lost = len(scene.lost)
    scene.round()
    assert len(scene.lost) == lost, "somebody was lost when nothing failed any more"
    assert lost <= most_lost, f"{lost} peers were harmed; the fault concerned {most_lost}"
    assert scene.thread.is_alive(), f"the loop ended: {scene.thread.raised!r}"
    comes_to_rest(faults, scene.thread)


def holds_at_the_end(scene: Any, watch: Watch, silent: bool) -> None:
    """Every connection has ended, once; one line a second was logged at most, and none if *silent*."""
    until(lambda: not scene.unended(), "not ended")
    assert not scene.complaints(), scene.complaints()
    assert scene.rows() == 0, "rows are left over"
    seconds = time.monotonic() - watch.began
    assert len(watch.lines.records) <= (0 if silent else 1 + seconds), watch.lines.texts()
