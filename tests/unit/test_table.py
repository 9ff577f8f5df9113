"""Proves that the table makes only sensible changes of state, ends what is overdue, and counts."""

from __future__ import annotations

import dataclasses
import pickle

import pytest

from reactor.limits import Limits
from reactor.table import PARTIAL, TRANSITIONS, Counters, RequestState, RequestTable
from tests.support.clock import ManualClock
from tests.support.rows import FakeRow

S = RequestState
OPEN = {S.IDLE, S.READING, S.HANDLING, S.WRITING}
EVERY = [(before, after) for before in S for after in S]


def may_follow(before, after):
    """The rules in words of their own; the table of the package is a literal."""
    if before is after or after is S.HANDSHAKE or before is S.CLOSED:
        return False
    return after is S.CLOSED or before is not S.CLOSING


@pytest.fixture
def table():
    return RequestTable()


@pytest.fixture
def lines(caplog):
    """The warnings logged since the last call."""

    def take():
        texts = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        caplog.clear()
        return texts

    return take


# States


@pytest.mark.parametrize(("before", "after"), EVERY, ids=[f"{a.name}-{b.name}" for a, b in EVERY])
def test_only_these_changes_of_state_are_made(table, before, after):
    row = FakeRow(table, before)
    if may_follow(before, after):
        table.move(row, after)
        assert row.state is after
    else:
        with pytest.raises(RuntimeError, match=f"{before.name} to {after.name}"):
            table.move(row, after)
        assert row.state is before


def test_the_states_are_those_of_the_design():
    assert [state.name for state in S] == [
        "HANDSHAKE",
        "IDLE",
        "READING",
        "HANDLING",
        "WRITING",
        "CLOSING",
        "CLOSED",
    ]
    assert set(TRANSITIONS) == set(S)
    assert set(PARTIAL) == {S.READING, S.HANDLING, S.WRITING}


@pytest.mark.parametrize("draining", [True, False])
@pytest.mark.parametrize("state", sorted(OPEN - {S.READING}, key=lambda state: state.name))
def test_a_row_that_becomes_idle_while_draining_is_closed_and_no_other(table, draining, state):
    row = FakeRow(table, S.READING)
    table.draining = draining
    table.move(row, state)
    assert row.ended == (["close"] if draining and state is S.IDLE else [])


# Deadlines


@pytest.mark.parametrize(
    ("state", "limit", "ending"),
    [
        (S.HANDSHAKE, "handshake_timeout", "abort"),
        (S.IDLE, "idle_timeout", "close"),
        (S.READING, "request_timeout", "abort"),
        (S.WRITING, "send_timeout", "abort"),
    ],
)
def test_each_timeout_ends_the_rows_it_is_for_and_says_so(table, lines, state, limit, ending):
    limits = dataclasses.replace(Limits(), **{limit: 7.0})
    late = FakeRow(table, state, 100.0, limits)
    late.received, late.sent = 321, 45
    in_time = FakeRow(table, state, 100.5, limits)
    others = [
        FakeRow(table, other, 100.0, dataclasses.replace(limits, linger_timeout=8))
        for other in S
        if other is not state
    ]
    table.sweep(106.9)
    assert late.ended == [] and lines() == []
    table.sweep(107.0)
    assert late.ended == [ending]
    assert in_time.ended == [] and all(row.ended == [] for row in others)
    (line,) = lines()
    for part in (limit, "7 s", "('192.0.2.1', 5000)", "a message", "321", "45"):
        assert part in line
    assert table.counters.timed_out == 1


def test_a_lingering_row_ends_without_a_warning_for_that_is_nobodys_fault(table, lines):
    row = FakeRow(table, S.CLOSING, 100.0)
    table.sweep(101.9)
    assert row.ended == []
    table.sweep(102.0)
    assert row.ended == ["abort"]
    assert (lines(), table.counters.timed_out) == ([], 0)


def test_a_handler_takes_the_time_it_needs(table):
    row = FakeRow(table, S.HANDLING, 0.0)
    table.sweep(10**9)
    assert row.ended == []


@pytest.mark.parametrize("state", [S.HANDSHAKE, S.IDLE, S.READING, S.WRITING, S.CLOSING])
def test_none_turns_a_timeout_off(table, state):
    off = {each.name: None for each in dataclasses.fields(Limits) if each.name.endswith("_timeout")}
    row = FakeRow(table, state, 0.0, Limits(**off))
    table.sweep(10**9)
    assert row.ended == []


def test_a_sweep_goes_through_the_table_in_slices(table, monkeypatch):
    monkeypatch.setattr(RequestTable, "SLICE", 10)
    rows = [FakeRow(table, S.READING) for _ in range(25)]
    ended = []
    while table.sweep(50.0):
        ended.append(sum(map(len, (row.ended for row in rows))))
    assert ended == [10, 20]
    assert all(row.ended == ["abort"] for row in rows)


def test_rows_that_come_and_go_between_two_slices_are_no_trouble(table, monkeypatch):
    monkeypatch.setattr(RequestTable, "SLICE", 2)
    rows = [FakeRow(table, S.READING) for _ in range(6)]
    assert table.sweep(50.0)
    for row in rows[2:4]:  # as they end by themselves
        row.state = S.CLOSED
        table.remove(row)
    late = FakeRow(table, S.READING, 49.0)
    while table.sweep(50.0):
        pass
    assert [len(row.ended) for row in rows] == [1, 1, 0, 0, 1, 1]
    assert late.ended == []
    assert table.counters.timed_out == 4


def test_a_row_may_leave_the_table_while_it_is_swept_out(table):
    class Leaves(FakeRow):
        def abort(self):
            super().abort()
            table.remove(self)

    rows = [Leaves(table, S.READING) for _ in range(5)]
    assert not table.sweep(50.0)
    assert all(row.ended == ["abort"] for row in rows) and len(table) == 0


@pytest.mark.parametrize(
    ("timeouts", "interval"),
    [
        ({}, 1.0),
        ({"linger_timeout": 20, "idle_timeout": 8, "request_timeout": 12}, 2.0),
        ({"linger_timeout": 0.1}, 1.0),
        (
            {
                "linger_timeout": None,
                "request_timeout": None,
                "handshake_timeout": None,
                "drain_timeout": None,
            },
            7.5,
        ),
    ],
)
def test_sweeps_come_a_quarter_of_the_smallest_timeout_apart_at_most_once_a_second(table, timeouts, interval):
    plain = {"linger_timeout": 60, "handshake_timeout": 60, "request_timeout": 60, "drain_timeout": 60}
    FakeRow(table, limits=Limits(**({**plain, **timeouts} if timeouts else {})))
    assert table.sweep_interval == interval


def test_the_smallest_timeout_of_all_rows_counts(table):
    slow = Limits(
        linger_timeout=40,
        request_timeout=40,
        handshake_timeout=40,
        drain_timeout=40,
        connect_timeout=40,
        send_timeout=40,
    )
    FakeRow(table, limits=slow)
    assert table.sweep_interval == 10
    FakeRow(table, limits=dataclasses.replace(slow, request_timeout=8))
    assert table.sweep_interval == 2
    FakeRow(table, limits=slow)
    assert table.sweep_interval == 2


# Log lines


def test_one_limit_is_logged_once_a_second_with_a_count(table, lines):
    clock = ManualClock()
    row = FakeRow(table)
    for _ in range(10):
        table.limit_passed(clock(), "send_buffer_limit", row, "9 of 8 bytes")
        clock.advance(0.1)
    (line,) = lines()
    assert "send_buffer_limit" in line and "192.0.2.1" in line and "9 of 8 bytes" in line
    table.limit_passed(clock(), "idle_timeout", row, "another cause")
    assert len(lines()) == 1
    clock.advance(0.05)
    table.limit_passed(clock(), "send_buffer_limit", row, "9 of 8 bytes")
    (line,) = lines()
    assert "9 more" in line


def test_a_thousand_rows_overdue_at_once_are_one_line_and_the_next_sweep_says_how_many(table, lines):
    for _ in range(1000):
        FakeRow(table, S.READING)
    table.sweep(50.0)
    assert len(lines()) == 1
    table.sweep(51.0)
    (line,) = lines()
    assert "999" in line and "request_timeout" in line
    table.sweep(60.0)
    assert lines() == []
    assert table.counters.timed_out == 1000


def test_refusals_are_counted_and_logged_once_a_second_for_each_reason(table, lines):
    for _ in range(5):
        table.refuse(10.0, "max_connections: 3 of 3", ("192.0.2.7", 1))
        table.refuse(10.0, "max_connections_per_peer: 2 of 2", ("192.0.2.7", 1))
    logged = lines()
    assert len(logged) == 2 and all("192.0.2.7" in line for line in logged)
    table.turn_away()
    assert table.counters.refused == 11
    assert lines() == [], "what verify_request turns away is its own affair"


# Questions


def test_the_table_holds_its_rows_oldest_first(table):
    rows = [FakeRow(table) for _ in range(3)]
    assert (list(table), len(table)) == (rows, 3)
    for row in table:
        table.remove(row)  # while it is iterated
    assert (list(table), len(table), rows[0] in table) == ([], 0, False)


def test_counters_include_the_living_and_the_gone(table):
    gone, living = FakeRow(table), FakeRow(table)
    gone.received, gone.sent, gone.completed = 1, 20, 300
    living.received, living.sent, living.completed = 4, 50, 600
    table.remove(gone)
    table.failed()
    table.turn_away()
    assert table.counters == Counters(
        accepted=2, completed=900, failed=1, timed_out=0, refused=1, bytes_in=5, bytes_out=70
    )


def test_questions_are_answered(table):
    rows = {state: FakeRow(table, state, since=number) for number, state in enumerate(S)}
    older = FakeRow(table, S.WRITING, since=-1, peer="/run/socket")
    assert set(table.partial()) == {rows[S.READING], rows[S.HANDLING], rows[S.WRITING], older}
    assert table.by_state(S.WRITING) == [rows[S.WRITING], older]
    assert table.oldest() is older
    assert table.states() == {**dict.fromkeys(S, 1), S.WRITING: 2}
    assert table.by_peer("192.0.2.1") == list(rows.values())
    assert table.by_peer("192.0.2.2") == []


def test_where_nothing_is_partial_there_is_no_oldest(table):
    FakeRow(table, S.IDLE)
    assert table.oldest() is None


def test_a_snapshot_is_plain_values_that_may_go_anywhere(table):
    row = FakeRow(table, S.READING, since=100.0)
    row.received, row.sent, row.completed = 1, 2, 3
    FakeRow(table, S.HANDLING, since=90.0, peer="/run/socket")
    reading, handling = pickle.loads(pickle.dumps(table.snapshot(104.0)))
    assert dataclasses.asdict(reading) == {
        "peer": ("192.0.2.1", 5000),
        "state": "reading",
        "waiting_for": "a message",
        "age": 4.0,
        "remaining": 6.0,
        "received": 1,
        "sent": 2,
        "completed": 3,
    }
    assert (handling.age, handling.remaining) == (14.0, None)
    row.state, row.received = S.CLOSED, 99
    assert (reading.state, reading.received) == ("reading", 1)
    with pytest.raises(AttributeError):
        reading.received = 5
