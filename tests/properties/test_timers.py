"""Proves that a timer is never called early, never twice and never after `cancel`, whatever else is done."""

from __future__ import annotations

import math
import selectors

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from reactor import Reactor
from reactor.timers import Timer
from tests.properties import examples
from tests.support.clock import ManualClock


class Witness:
    """One timer: what was promised of it, and when it was called."""

    def __init__(self, machine: _Timers, due: float, interval: float | None, deed: tuple[str, int]) -> None:
        self.machine = machine
        self.due = due  # not before this
        self.interval = interval
        self.deed = deed
        self.calls = 0
        self.cancelled = False
        self.timer: Timer | None = None

    @property
    def over(self) -> bool:
        return self.cancelled or (self.interval is None and self.calls > 0)

    def called(self) -> None:
        machine, now = self.machine, self.machine.clock()
        if self.over:
            machine.wrong.append("called twice" if not self.cancelled else "called after cancel()")
        if now < self.due:
            machine.wrong.append(f"called {self.due - now} s early")
        self.calls += 1
        machine.called.append(self)
        if self.interval is not None:
            # It is due again after this turn, as far as the clock can tell, and within one interval.
            now, step = machine.reactor.now, 4 * math.ulp(machine.reactor.now)
            self.due = self.timer.when
            assert now < self.due or self.interval < step
            assert self.due <= now + self.interval + step
        machine.do(self.deed)
        if self.deed[0] == "fail":
            raise LookupError


class Clocked(selectors.SelectSelector):
    """Waits as long as it is told to, on the test's clock, or is woken before by nothing at all."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self.clock = clock
        self.spurious = False

    def select(self, timeout=None):
        assert timeout is not None and timeout >= 0
        if not self.spurious:
            self.clock.advance(timeout)
        return []


delays = st.one_of(st.just(0.0), st.floats(0, 5), st.sampled_from([0.1, 0.2, 0.3, 1 / 3, 1e-9, 60.0]))
deeds = st.tuples(
    st.sampled_from(["nothing", "nothing", "cancel", "cancel", "later", "every", "advance", "fail"]),
    st.integers(0, 30),
)


class _Timers(RuleBasedStateMachine):
    @initialize(start=st.sampled_from([0.0, 1000.0, 1e9 + 1 / 3]))
    def begin(self, start):
        self.clock = ManualClock(start)
        self.selector = Clocked(self.clock)
        self.reactor = Reactor(self.selector, clock=self.clock)
        self.failures = []
        self.reactor._failed = lambda *failure: self.failures.append(failure)  # nothing to be logged
        self.witnesses: list[Witness] = []
        self.called: list[Witness] = []
        self.wrong: list[str] = []

    def teardown(self):
        if hasattr(self, "reactor"):
            self.reactor.close()

    def do(self, deed):
        kind, number = deed
        if kind == "cancel" and self.witnesses:
            witness = self.witnesses[number % len(self.witnesses)]
            witness.cancelled = witness.cancelled or not witness.over
            witness.timer.cancel()
        elif kind == "later":
            self.later(number / 10, ("nothing", 0))
        elif kind == "every":
            self.every((number + 1) / 10, ("nothing", 0))
        elif kind == "advance":
            self.clock.advance(number / 10)  # it takes its time

    @rule(delay=delays, deed=deeds)
    def later(self, delay, deed):
        witness = Witness(self, self.clock() + delay, None, deed)
        witness.timer = self.reactor.call_later(delay, witness.called)
        self.witnesses.append(witness)

    @rule(offset=st.floats(-10, 10), deed=deeds)
    def at(self, offset, deed):
        when = self.clock() + offset
        witness = Witness(self, when, None, deed)
        witness.timer = self.reactor.call_at(when, witness.called)
        self.witnesses.append(witness)

    @rule(interval=delays.filter(lambda seconds: seconds >= 1e-9), deed=deeds)
    def every(self, interval, deed):
        witness = Witness(self, self.clock() + interval, interval, deed)
        witness.timer = self.reactor.call_every(interval, witness.called)
        self.witnesses.append(witness)

    @rule(delay=delays, numbers=st.lists(st.integers(0, 30), min_size=2, max_size=5))
    def crowd(self, delay, numbers):
        """Several at one time, each of which cancels another."""
        for number in numbers:
            self.later(delay, ("cancel", number))

    @rule(number=st.integers(0, 30))
    def cancel(self, number):
        self.do(("cancel", number))

    @rule(seconds=delays)
    def advance(self, seconds):
        self.clock.advance(seconds)

    @rule(spurious=st.booleans(), most=st.sampled_from([0, 0.05, 1, 7]))
    def turn(self, spurious, most):
        self.selector.spurious = spurious
        self.called.clear()
        waiting = [witness for witness in self.witnesses if not witness.over]
        soonest = min((witness.due for witness in waiting), default=None)
        self.reactor.handle_events(most)
        if soonest is not None and soonest <= self.reactor.now:
            for witness in waiting:
                late = not witness.over and witness not in self.called and witness.due <= self.reactor.now
                assert not late, "it was due and was not called"
        assert all(self.called.count(witness) == 1 for witness in self.called), "twice in one turn"

    @rule()
    def sleep_through(self):
        """The waits of the next turns are exactly as long as to the next timer: none is late. One turn
        more, if the sum of the clock and the wait was rounded down."""
        self.selector.spurious = False
        waiting = [witness.due for witness in self.witnesses if not witness.over]
        if waiting:
            due = max(min(waiting), self.clock())
            self.called.clear()
            for _ in range(3):
                self.reactor.handle_events()
                if self.called:
                    break
            assert self.called
            assert self.reactor.now == pytest.approx(due, rel=1e-15, abs=1e-9)

    @invariant()
    def nothing_was_wrong(self):
        if hasattr(self, "reactor"):
            assert self.wrong == []
            assert all(isinstance(exc, LookupError) for _, _, exc in self.failures), self.failures
            assert [(witness.timer.active, witness) for witness in self.witnesses] == [
                (not witness.over, witness) for witness in self.witnesses
            ]
            assert len(self.reactor._timers) == sum(not witness.over for witness in self.witnesses)


@pytest.mark.timeout(600)
def test_a_timer_is_never_early_never_twice_and_never_after_cancel():
    _Timers.TestCase.settings = examples(120, steps=25)
    _Timers.TestCase("runTest").runTest()
