"""Proves that draining takes on nothing new, waits for what is partial, and counts what it has to give up."""

from __future__ import annotations

import pytest

from reactor.drain import Drain, Outcome
from reactor.events import ConcurrentHandler, EventHandler
from reactor.limits import Limits
from reactor.table import RequestState, RequestTable
from tests.support.rows import FakeRow

S = RequestState


class Listener(EventHandler):
    """Counts how often it was told to stop; raises where it is told to."""

    def __init__(self, error=None):
        self.error, self.stopped = error, 0

    def fileno(self):
        return -1

    def close(self):
        pass

    def stop_accepting(self):
        self.stopped += 1
        if self.error:
            raise self.error


class Busy(ConcurrentHandler, Listener):
    """Has so many requests under way; each of its answers may be an error."""

    drain_timeout = 5.0

    def __init__(self, requests, lingering=False):
        super().__init__()
        self.requests, self.lingering, self.abandoned = requests, lingering, 0

    def under_way(self):
        return self._answer(self.requests)

    def lingers(self):
        return self._answer(not self.requests or self.lingering)

    def abandon(self):
        self.abandoned += 1
        return self._answer(0 if self.lingering else self.requests)

    def _answer(self, value):
        if isinstance(self.requests, Exception):
            raise self.requests
        return value


@pytest.fixture
def table():
    return RequestTable()


@pytest.fixture
def finished():
    return []


@pytest.fixture
def kept():
    """What the guard kept to itself."""
    return []


@pytest.fixture
def drain(table, finished, kept):
    def guard(call, args):
        try:
            return call(*args)
        except LookupError as exc:
            kept.append(exc)

    return Drain(table, guard, lambda: finished.append(1))


def leave(table, row):
    row.state = S.CLOSED
    table.remove(row)


def test_at_the_start_listeners_stop_idle_rows_close_and_partial_ones_go_on(table, drain, finished):
    rows = {state: FakeRow(table, state) for state in S if state is not S.CLOSED}
    listeners = [Listener(), Listener()]
    drain.start(listeners)
    assert [listener.stopped for listener in listeners] == [1, 1]
    assert {state: row.ended for state, row in rows.items() if row.ended} == {S.IDLE: ["close"]}
    assert (drain.outcome, finished) == (Outcome.RUNNING, [])


def test_a_listener_that_fails_to_stop_costs_nobody_else_anything(table, drain, kept):
    idle, good, error = FakeRow(table, S.IDLE), Listener(), LookupError("bad")
    drain.start([Listener(error), good])
    assert good.stopped == 1 and kept == [error]
    assert idle.ended == ["close"] and table.draining


def test_draining_is_complete_when_the_last_row_has_left_and_says_so_once(table, drain, finished):
    rows = [FakeRow(table, state) for state in (S.READING, S.HANDLING, S.WRITING, S.CLOSING)]
    drain.start([])
    for row in rows:
        drain.check()
        assert (drain.outcome, finished) == (Outcome.RUNNING, [])
        leave(table, row)
    drain.check()
    drain.check()
    drain.cut("a second signal")
    assert (drain.outcome, finished) == (Outcome.COMPLETE, [1])


def test_a_row_that_finishes_its_request_while_draining_is_closed(table, drain):
    row = FakeRow(table, S.HANDLING)
    drain.start([])
    table.move(row, S.WRITING)
    assert row.ended == []
    table.move(row, S.IDLE)
    assert row.ended == ["close"]


def test_cut_aborts_what_is_left_and_counts_what_was_lost(table, drain, finished, caplog):
    rows = [FakeRow(table, state) for state in (S.READING, S.HANDLING, S.WRITING, S.CLOSING, S.HANDSHAKE)]
    drain.start([])
    drain.cut("a second signal")
    assert all(row.ended == ["abort"] for row in rows)
    assert (drain.outcome, finished) == (Outcome.CUT, [1])
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    for part in ("a second signal", "3 partial requests lost", "5 connections"):
        assert part in warning
    for row in rows:
        table.remove(row)
    drain.check()
    drain.cut("drain_timeout")
    assert (drain.outcome, finished) == (Outcome.CUT, [1]), "cut is cut, and once is enough"


@pytest.mark.parametrize(
    ("timeouts", "longest"), [([], 0.0), ([5], 5.0), ([5, 60, 10], 60.0), ([5, None, 60], None), ([0.5], 0.5)]
)
def test_draining_waits_as_long_as_the_most_patient_partial_row(table, drain, timeouts, longest):
    for timeout in timeouts:
        FakeRow(table, S.READING, limits=Limits(drain_timeout=timeout))
    assert drain.start([]) == longest


def test_draining_is_complete_only_when_nothing_is_under_way_elsewhere_either(table, drain, finished):
    row, one, other = FakeRow(table, S.READING), Busy(2), Busy(1)
    drain.start([one, other, Listener()])
    leave(table, row)
    for handler in (one, other):
        drain.check()
        assert (drain.outcome, finished) == (Outcome.RUNNING, [])
        handler.requests = 0
    drain.check()
    assert (drain.outcome, finished) == (Outcome.COMPLETE, [1])
    assert not one.abandoned and not other.abandoned


@pytest.mark.parametrize(
    ("requests", "timeout", "longest"), [(0, 60.0, 2.0), (1, 60.0, 60.0), (1, 1.0, 2.0), (1, None, None)]
)
def test_who_is_busy_elsewhere_may_be_more_patient_than_a_row(table, drain, requests, timeout, longest):
    FakeRow(table, S.READING, limits=Limits(drain_timeout=2.0))
    busy = Busy(requests)
    busy.drain_timeout = timeout
    assert drain.start([busy]) == longest


def test_what_is_lost_elsewhere_is_counted_in_the_same_line(table, drain, caplog):
    FakeRow(table, S.READING)
    busy = [Busy(2), Busy(3), Busy(1, lingering=True)]
    drain.start(busy)
    drain.cut("a second signal")
    drain.cut("drain_timeout")
    assert [handler.abandoned for handler in busy] == [1, 1, 1]
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert "6 partial requests lost, 7 connections" in warning


@pytest.mark.parametrize(("lingering", "outcome"), [(True, Outcome.COMPLETE), (False, Outcome.CUT)])
def test_when_time_is_up_who_only_lingers_elsewhere_is_let_go(drain, finished, lingering, outcome):
    busy = Busy(1, lingering)
    drain.start([busy, Busy(0)])
    drain.time_up(5.0)
    assert (drain.outcome, finished, busy.abandoned) == (outcome, [1], 1)


@pytest.mark.parametrize("end", ["check", "cut", "time_up"])
def test_who_fails_to_answer_holds_up_nobody(drain, finished, kept, end):
    error = LookupError("bad")
    drain.start([Busy(error)])
    getattr(drain, end)(*{"cut": ["a second signal"], "time_up": [5.0]}.get(end, []))
    assert finished == [1]
    assert set(kept) == {error}
