"""Proves that calls are made when due, in order, behind a guard that keeps an error to its owner."""

from __future__ import annotations

import functools
import math
import threading

import pytest

from reactor.events import EventHandler
from reactor.schedule import SLOW_CALLBACK, Schedule
from tests.support.clock import ManualClock


class Turns(Schedule):
    """A loop that has no descriptors: its turn is the order of `Reactor.handle_events`."""

    def __init__(self, debug=False):
        self.time = ManualClock()
        super().__init__(self.time, debug)

    def turn(self, seconds=0.0):
        self.time.advance(seconds)
        self.now = self.clock()
        self._run_due(self.now)
        self._run_soon()
        self._run_ended()


class Owner(EventHandler):
    """Keeps what came to its `handle_exception`; raises where it is told to."""

    def __init__(self, worse=None, worst=None):
        self.worse, self.worst = worse, worst
        self.caught, self.closed = [], 0

    def fileno(self):
        return -1

    def fail(self, exc=None):
        raise exc or LookupError("mine")

    def handle_exception(self, exc):
        self.caught.append(exc)
        if self.worse:
            raise self.worse

    def close(self):
        self.closed += 1
        if self.worst:
            raise self.worst


@pytest.fixture
def turns():
    return Turns()


@pytest.fixture
def errors(caplog):
    """What was logged, as (level, text)."""
    return lambda: [(record.levelname, record.getMessage()) for record in caplog.records]


# When


def test_call_later_and_call_at_are_made_once_in_time_and_never_early(turns):
    called = []
    turns.call_later(5, called.append, "later")
    turns.call_at(turns.clock() + 3, called.append, "at")
    turns.turn(2.999)
    assert called == []
    turns.turn(0.001)
    assert called == ["at"]
    turns.turn(100)
    turns.turn(100)
    assert called == ["at", "later"]


def test_call_later_counts_from_the_clock_and_not_from_the_beginning_of_a_long_turn(turns):
    called = []

    def long_turn():
        turns.time.advance(10)
        turns.call_later(5, called.append, 1)

    turns.call_soon(long_turn)
    turns.turn()
    turns.turn(4.9)
    assert called == []
    turns.turn(0.1)
    assert called == [1]


def test_call_every_keeps_its_grid_until_it_is_cancelled(turns):
    called, start = [], turns.clock()
    timer = turns.call_every(10, lambda: called.append(turns.now - start))
    for seconds in (10, 13, 7, 45, 5):
        turns.turn(seconds)
    assert called == [10, 23, 30, 75, 80]
    timer.cancel()
    turns.turn(100)
    assert len(called) == 5


def test_call_soon_from_such_a_call_comes_with_the_next_turn(turns):
    called = []

    def again():
        called.append(len(called))
        turns.call_soon(again)

    turns.call_soon(again)
    for count in (1, 2, 3):
        turns.turn()
        assert called == list(range(count))


def test_the_end_of_the_turn_comes_after_all_else_of_it_and_takes_what_it_brings(turns):
    called = []

    def ending():
        called.append("ending")
        turns.call_at_end(lambda: called.append("ended by it"))

    turns.call_at_end(ending)
    turns.call_soon(called.append, "soon")
    turns.call_later(0, called.append, "timer")
    turns.turn()
    assert called == ["timer", "soon", "ending", "ended by it"]


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda t: t.call_later(-0.1, print), "delay"),
        (lambda t: t.call_later(math.nan, print), "delay"),
        (lambda t: t.call_at(math.nan, print), "when"),
        (lambda t: t.call_every(0, print), "interval"),
        (lambda t: t.call_every(-1, print), "interval"),
        (lambda t: t.call_every(math.inf, print), "interval"),
        (lambda t: t.call_every(math.nan, print), "interval"),
    ],
)
def test_a_time_that_is_none_is_refused_at_once_and_named(turns, call, named):
    with pytest.raises(ValueError, match=named):
        call(turns)


@pytest.mark.parametrize(
    "call",
    [
        lambda t: t.call_soon(None),
        lambda t: t.call_later(1, None),
        lambda t: t.call_at(1, "name"),
        lambda t: t.call_every(1, 5),
    ],
    ids=["soon", "later", "at", "every"],
)
def test_what_cannot_be_called_is_refused_where_it_is_passed(turns, call):
    with pytest.raises(TypeError):
        call(turns)


def test_a_clock_is_something_to_call():
    with pytest.raises(TypeError, match="clock"):
        Schedule(1000.0, False)


# The guard


def test_an_error_costs_nobody_else_their_call(turns, errors):
    called = []

    def fail(kind):
        raise kind("nobody's")

    turns.call_later(0, fail, LookupError)
    turns.call_later(0, called.append, "timer")
    turns.call_soon(fail, GeneratorExit)
    turns.call_soon(called.append, "soon")
    turns.call_at_end(functools.partial(fail, ValueError))
    turns.call_at_end(lambda: called.append("end"))
    turns.turn()
    assert called == ["timer", "soon", "end"]
    assert [level for level, _ in errors()] == ["ERROR"] * 3
    assert all(kind in text for kind, (_, text) in zip(["Look", "Gen", "Value"], errors(), strict=True))


@pytest.mark.parametrize("wrap", [lambda method: method, functools.partial], ids=["method", "partial"])
def test_an_error_of_a_method_goes_to_its_owner_inside_the_except(turns, errors, wrap):
    owner = Owner()
    turns.call_soon(wrap(owner.fail))
    turns.call_later(0, wrap(owner.fail))
    turns.call_at_end(wrap(owner.fail))
    turns.turn()
    assert [type(exc) for exc in owner.caught] == [LookupError] * 3
    assert (owner.closed, errors()) == (0, [])


def test_an_error_of_a_method_whose_object_is_no_handler_is_logged_with_its_name(turns, errors):
    class Report:
        def monthly(self):
            raise LookupError("no figures")

    turns.call_soon(Report().monthly)
    turns.turn()
    ((level, text),) = errors()
    assert level == "ERROR" and "Report.monthly" in text and "raised LookupError" in text


def test_an_error_in_handle_exception_is_logged_and_closes_the_handler(turns, errors):
    owner = Owner(worse=ZeroDivisionError("worse"))
    turns.call_soon(owner.fail)
    turns.turn()
    assert owner.closed == 1
    ((level, text),) = errors()
    assert level == "ERROR" and "handle_exception" in text and "ZeroDivisionError" in text


def test_even_an_error_in_close_costs_nobody_else_anything(turns, errors):
    owner, called = Owner(worse=ValueError("worse"), worst=OSError("worst")), []
    turns.call_soon(owner.fail)
    turns.call_soon(called.append, 1)
    turns.turn()
    assert called == [1]
    assert [text.partition("(")[0] for _, text in errors()] == ["handle_exception", "close"]


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("where", ["call_soon", "call_later", "call_at_end"])
def test_an_interrupt_passes_through_and_what_is_left_comes_with_the_next_turn(turns, interrupt, where):
    owner, called = Owner(), []
    add = functools.partial(turns.call_later, 0) if where == "call_later" else getattr(turns, where)
    add(lambda: called.append("before"))
    add(functools.partial(owner.fail, interrupt()))
    for name in ("after", "and after"):
        add(functools.partial(called.append, name))
    with pytest.raises(interrupt):
        turns.turn()
    assert (called, owner.caught) == (["before"], [])
    turns.turn()
    assert called == ["before", "after", "and after"]
    turns.turn()
    assert len(called) == 3


@pytest.mark.parametrize("at", ["callback", "handle_exception", "close"])
def test_an_interrupt_passes_through_error_handling_too(turns, at):
    owner = {
        "callback": lambda: Owner(),
        "handle_exception": lambda: Owner(worse=KeyboardInterrupt()),
        "close": lambda: Owner(worse=ValueError(), worst=KeyboardInterrupt()),
    }[at]()
    turns.call_soon(owner.fail, KeyboardInterrupt() if at == "callback" else None)
    with pytest.raises(KeyboardInterrupt):
        turns.turn()


def test_a_repeating_timer_goes_on_after_an_interrupt_in_it(turns):
    called = []

    def interrupted():
        called.append(1)
        if len(called) == 1:
            raise KeyboardInterrupt

    timer = turns.call_every(10, interrupted)
    with pytest.raises(KeyboardInterrupt):
        turns.turn(10)
    assert timer.active
    turns.turn(10)
    assert called == [1, 1]


def test_what_was_cancelled_before_an_interrupt_is_not_made_after_it(turns):
    called = []
    turns.call_later(0, lambda: victim.cancel())
    turns.call_later(0, Owner().fail, KeyboardInterrupt())
    victim = turns.call_later(0, called.append, "victim")
    turns.call_later(0, called.append, "other")
    with pytest.raises(KeyboardInterrupt):
        turns.turn()
    turns.turn()
    assert called == ["other"]


# Debug mode


@pytest.mark.parametrize(
    ("debug", "took", "named"), [(True, 0.11, True), (True, 0.09, False), (False, 9, False)]
)
def test_debug_mode_names_a_callback_that_holds_up_the_loop(errors, debug, took, named):
    assert 0.09 < SLOW_CALLBACK < 0.11
    turns = Turns(debug)

    def slow_report():
        turns.time.advance(took)

    turns.call_soon(slow_report)
    turns.turn()
    assert [level for level, _ in errors()] == ["WARNING"] * named
    if named:
        assert "slow_report" in errors()[0][1] and "110 ms" in errors()[0][1]


@pytest.mark.parametrize(
    ("name", "args"), [("call_soon", ()), ("call_later", (1,)), ("call_at", (1,)), ("call_every", (1,))]
)
def test_debug_mode_refuses_a_foreign_thread_and_names_it(name, args):
    turns, caught = Turns(debug=True), []
    turns.thread = threading.get_ident()
    getattr(turns, name)(*args, print)

    def elsewhere():
        try:
            getattr(turns, name)(*args, print)
        except RuntimeError as exc:
            caught.append(str(exc))

    thread = threading.Thread(target=elsewhere, name="stranger")
    thread.start()
    thread.join()
    assert len(caught) == 1
    assert name in caught[0] and "stranger" in caught[0] and "call_soon_threadsafe" in caught[0]
