"""`Drain`: stop accepting, finish what is partial, within a deadline."""

from collections.abc import Callable, Iterable
from enum import Enum
from typing import Any

from reactor.events import EventHandler
from reactor.log import logger
from reactor.table import PARTIAL, RequestState, RequestTable

#: Makes a call and keeps what it raises to itself.
Guard = Callable[[Callable[..., object], tuple[Any, ...]], None]


class Outcome(Enum):
    """How far draining has come."""

    RUNNING = "running"
    COMPLETE = "complete"
    CUT = "cut"


class Drain:
    """One draining of a table. The reactor makes it, calls `check` at the end of each turn and
    `cut` when time is up or a second signal comes. *guard* makes the calls that may raise; *finished*
    is called once, at the end."""

    def __init__(self, table: RequestTable, guard: Guard, finished: Callable[[], object]) -> None:
        self._table = table
        self._guard = guard
        self._finished = finished
        self.outcome = Outcome.RUNNING

    def start(self, handlers: Iterable[EventHandler]) -> float | None:
        """Have *handlers* take on nothing new, close what is idle, and say how many seconds to wait:
        the longest ``drain_timeout`` of a connection, `None` for as long as it takes."""
        for handler in handlers:
            self._guard(handler.stop_accepting, ())
        self._table.draining = True
        partial = self._table.partial()
        logger.info("draining: %d partial requests, %d connections", len(partial), len(self._table))
        timeouts = [row.limits.drain_timeout for row in self._table]
        for row in self._table.by_state(RequestState.IDLE):
            row.close()
        longest = 0.0
        for timeout in timeouts:
            if timeout is None:
                return None
            longest = max(longest, timeout)
        return longest

    def check(self) -> None:
        """Finish once no row is left."""
        if self.outcome is Outcome.RUNNING and not self._table:
            self._finish(Outcome.COMPLETE)

    def cut(self, why: str) -> None:
        """End now; the log counts what is lost."""
        if self.outcome is not Outcome.RUNNING:
            return
        rows = list(self._table)
        lost = sum(row.state in PARTIAL for row in rows)
        logger.warning(
            "draining cut short by %s: %d partial requests lost, %d connections", why, lost, len(rows)
        )
        for row in rows:
            row.abort()
        self._finish(Outcome.CUT)

    def _finish(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self._finished()
