"""`Drain`: stop accepting, finish what is partial, within a deadline."""

from collections.abc import Callable, Collection
from enum import Enum

from reactor.events import ConcurrentHandler, EventHandler
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
        self._concurrent: list[ConcurrentHandler] = []
        self.outcome = Outcome.RUNNING

    def start(self, handlers: Collection[EventHandler]) -> float | None:
        """Have *handlers* take on nothing new, close what is idle, and say how many seconds to wait: the
        longest ``drain_timeout`` of a connection or a busy handler, `None` for as long as it takes."""
        for handler in handlers:
            self._guard(handler.stop_accepting, ())
        self._concurrent = [handler for handler in handlers if isinstance(handler, ConcurrentHandler)]
        self._table.draining = True
        figures = len(self._table.partial()), len(self._table), self._elsewhere()
        logger.info("draining: %d partial requests, %d connections; %d in threads or processes", *figures)
        timeouts = [row.limits.drain_timeout for row in self._table]
        timeouts += [each.drain_timeout for each in self._concurrent if self._guard(each.under_way, ())]
        for row in self._table.by_state(RequestState.IDLE):
            self._guard(row.close, ())
        longest = 0.0
        for timeout in timeouts:
            if timeout is None:
                return None
            longest = max(longest, timeout)
        return longest

    def check(self) -> None:
        """Finish once no row is left, and nothing is under way elsewhere."""
        if self.outcome is Outcome.RUNNING and not self._table and not self._elsewhere():
            self._end(Outcome.COMPLETE)

    def cut(self, why: str) -> None:
        """End now; the log counts what is lost."""
        if self.outcome is not Outcome.RUNNING:
            return
        rows = list(self._table)
        lost = sum(row.state in PARTIAL or row.timeout_name == "send_timeout" for row in rows)
        connections = len(rows) + self._elsewhere()
        lost += self._abandon()
        logger.warning(
            "draining cut short by %s: %d partial requests lost, %d connections", why, lost, connections
        )
        self._end(Outcome.CUT)

    def time_up(self, seconds: float) -> None:
        """``drain_timeout`` has passed: cut, unless all is sent and the peers are only slow to go."""
        waiting = [row for row in self._table if row.timeout_name != "linger_timeout"]
        if waiting or not all(self._guard(each.lingers, ()) for each in self._concurrent):
            self.cut(f"drain_timeout ({seconds:g} s)")
        elif self.outcome is Outcome.RUNNING:
            self._abandon()
            self._end(Outcome.COMPLETE)

    def _elsewhere(self) -> int:
        """How many requests are under way in threads or processes."""
        return sum(self._guard(handler.under_way, ()) or 0 for handler in self._concurrent)

    def _abandon(self) -> int:
        """Wait no more for these; how many are lost by that."""
        return sum(self._guard(handler.abandon, ()) or 0 for handler in self._concurrent)

    def _end(self, outcome: Outcome) -> None:
        for row in self._table:
            self._guard(row.abort, ())
        self.outcome = outcome
        self._finished()
