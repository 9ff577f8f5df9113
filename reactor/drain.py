"""`Drain`: stop accepting, finish what is partial, within a deadline."""

from collections.abc import Callable, Iterable
from enum import Enum

from reactor.events import EventHandler
from reactor.log import logger
from reactor.table import PARTIAL, Guard, RequestState, RequestTable


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
            self._guard(row.close, ())
        longest = 0.0
        for timeout in timeouts:
            if timeout is None:
                return None
            longest = max(longest, timeout)
        return longest

    def check(self) -> None:
        """Finish once no row is left."""
        if self.outcome is Outcome.RUNNING and not self._table:
            self._end(Outcome.COMPLETE)

    def cut(self, why: str) -> None:
        """End now; the log counts what is lost."""
        if self.outcome is not Outcome.RUNNING:
            return
        rows = list(self._table)
        lost = sum(row.state in PARTIAL or row.timeout_name == "send_timeout" for row in rows)
        logger.warning(
            "draining cut short by %s: %d partial requests lost, %d connections", why, lost, len(rows)
        )
        self._end(Outcome.CUT)

    def time_up(self, seconds: float) -> None:
        """``drain_timeout`` has passed: cut, unless all is sent and the peers are only slow to go."""
        if any(row.timeout_name != "linger_timeout" for row in self._table):
            self.cut(f"drain_timeout ({seconds:g} s)")
        elif self.outcome is Outcome.RUNNING:
            self._end(Outcome.COMPLETE)

    def _end(self, outcome: Outcome) -> None:
        for row in self._table:
            self._guard(row.abort, ())
        self.outcome = outcome
        self._finished()
