"""Rows that belong to no connection: a `RequestTable` is filled with them."""

from __future__ import annotations

from typing import Any

from reactor.limits import Limits
from reactor.table import TIMEOUTS, RequestState, RequestTable


class FakeRow:
    """Keeps to the `Row` protocol and writes down how it was ended."""

    def __init__(
        self,
        table: RequestTable | None = None,
        state: RequestState = RequestState.IDLE,
        since: float = 0.0,
        limits: Limits | None = None,
        peer: Any = ("192.0.2.1", 5000),
    ) -> None:
        self.table = table
        self.state = state
        self.since = since
        self.limits = limits or Limits()
        self.peer = peer
        self.received = self.sent = self.completed = 0
        self.waiting_for = "a message"
        self.ended: list[str] = []
        if table is not None:
            table.add(self)

    def __repr__(self) -> str:
        return f"<row {self.peer}>"

    @property
    def timeout_name(self) -> str | None:
        return TIMEOUTS.get(self.state)

    @property
    def deadline(self) -> float | None:
        limit = None if self.timeout_name is None else getattr(self.limits, self.timeout_name)
        return None if limit is None else self.since + limit

    def close(self) -> None:
        self.ended.append("close")

    def abort(self) -> None:
        self.ended.append("abort")
        self.state = RequestState.CLOSED

    def _enter(self, state: RequestState) -> None:
        self.state = state
