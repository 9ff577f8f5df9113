"""Proves that any interleaving of registering, timers, calls and events leaves the loop's books equal to
a simple model's, and makes the calls that the model makes, in its order."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from reactor.events import EVENT_READ, EVENT_WRITE
from reactor.log import logger
from tests.properties import examples
from tests.properties.books import FDS, Books, Loop
from tests.support.clock import ManualClock

fds = st.sampled_from(FDS)
letters = st.sampled_from("ab")
events = st.sampled_from([EVENT_READ, EVENT_WRITE, EVENT_READ | EVENT_WRITE])
any_events = st.one_of(events, events, st.sampled_from([0, 4]))
names = st.integers(0, 5)
# Whole, so that both reckon alike; at least one, for what is due at once may come in this turn or the next.
seconds = st.integers(1, 9)


def _operations(inner):
    return st.one_of(
        st.tuples(st.just("register"), fds, letters, any_events),
        st.tuples(st.just("unregister"), fds),
        st.tuples(st.just("modify"), fds, any_events),
        st.tuples(st.just("close"), fds, letters),
        st.tuples(st.just("cancel"), names),
        st.tuples(st.just("call_soon"), inner),
        st.tuples(st.just("call_later"), names, seconds, inner),
        st.tuples(st.just("call_every"), names, seconds, inner),
        st.tuples(st.just("call_mine"), names, seconds, fds, letters),
        st.just(("fail",)),
    )


def _programs(inner):
    return st.lists(_operations(inner), max_size=3).map(tuple)


leaves = st.lists(_operations(st.just(())), max_size=2).map(tuple)
programs = st.one_of(st.just(()), leaves, _programs(leaves))


class _BooksKept(RuleBasedStateMachine):
    @initialize(data=st.data())
    def begin(self, data):
        logger.disabled = True  # what is reported, the programs write down themselves
        played = {
            (fd, letter): {"read": data.draw(programs), "write": data.draw(programs)}
            for fd in FDS
            for letter in "ab"
        }
        self.clock = ManualClock()
        self.books = Books(played, self.clock)
        self.loop = Loop(played, self.clock)
        for each in (self.books, self.loop):
            each.perform(("register", FDS[0], "a", EVENT_READ | EVENT_WRITE))
            each.perform(("register", FDS[1], "a", EVENT_READ))

    def teardown(self):
        logger.disabled = False
        if hasattr(self, "loop"):
            self.loop.reactor.close()

    @rule(operation=_operations(programs).filter(lambda operation: operation[0] != "fail"))
    def operate(self, operation):
        self.outside(operation)

    def outside(self, operation):
        for each in (self.books, self.loop):
            each.perform(operation)

    @rule(name=names, delay=st.integers(-20, 9), program=programs)
    def call_at(self, name, delay, program):
        for each in (self.books, self.loop):
            each.perform(("call_at", name, self.clock() + delay, program))

    @rule(program=programs)
    def chain(self, program):
        self.outside(("call_soon", (("call_soon", program),)))

    @rule(delay=seconds, cancelled=st.lists(names, min_size=2, max_size=5))
    def crowd(self, delay, cancelled):
        for name, other in enumerate(cancelled):
            self.outside(("call_later", name, delay, (("cancel", other),)))

    @rule(passed=st.sampled_from([0, 0, 1, 2, 5, 30]), ready=st.lists(st.tuples(fds, events), max_size=5))
    def turn(self, passed, ready):
        self.clock.advance(passed)
        for each in (self.books, self.loop):
            each.turn(list(ready))

    @invariant()
    def the_books_agree(self):
        if hasattr(self, "loop"):
            assert self.loop.log == self.books.log
            assert self.loop.books() == self.books.books()
            del self.loop.log[:], self.books.log[:]


@pytest.mark.timeout(600)
def test_any_interleaving_leaves_the_books_of_the_model():
    _BooksKept.TestCase.settings = examples(150, steps=30)
    _BooksKept.TestCase("runTest").runTest()
