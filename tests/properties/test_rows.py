"""Proves that a row comes through anything: whatever peer, kernel, time and other code do, and in whatever
order, its state is an allowed one and the model's, and it ends once. See `stage` for what is compared."""

from __future__ import annotations

import errno
import sys

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from reactor.events import EVENT_READ, EVENT_WRITE
from reactor.framing import Exactly
from tests.properties import examples, streams
from tests.properties.performers import CoroutinePerformer, StatePerformer
from tests.properties.stage import Stage, Step

_QUIET = st.sampled_from(
    [("write", 0), ("write", 1), ("write", 10), ("write", 120), ("write", 700), ("hold", 3)]
)
_LOUD = st.sampled_from(
    [
        ("close", 0),
        ("abort", 0),
        ("raise", 0),
        ("write_eof", 0),
        ("pause", 0),
        ("offload", 5),
        ("later", 2),
        ("drain", 0),
        ("return", 0),
        ("write", 6000),
    ]
)
_ACTIONS = st.lists(st.one_of(_QUIET, _QUIET, _QUIET, _LOUD), max_size=3).map(tuple)
_ENDS = st.sampled_from([True, True, False])
_STEPS = st.lists(st.builds(Step, streams.framings | st.just(Exactly(0)), _ACTIONS, _ENDS), max_size=2)


def happening(**drawn):
    """A rule, after which the loop may take a turn, or come to rest."""

    def decorate(method):
        def happen(self, after, **arguments):
            method(self, **arguments)
            if after != "nothing":
                getattr(self.stage, after)()

        happen.__name__ = method.__name__
        return rule(after=st.sampled_from(["rest", "turn", "nothing"]), **drawn)(happen)

    return decorate


class _Row(RuleBasedStateMachine):
    """Things happen to one connection."""

    style: type

    @initialize(
        first=st.builds(Step, streams.framings, _ACTIONS, _ENDS),
        steps=_STEPS,
        opening=st.lists(_QUIET, max_size=2).map(tuple) | _ACTIONS,
        broken=st.one_of(st.just(frozenset()), st.frozensets(st.sampled_from(["setup", "finish"]))),
        opens=st.sampled_from([True, True, True, False]),
    )
    def begin(self, first, steps, opening, broken, opens):
        self.stage = Stage(self.style, [first, *steps], opening, broken)
        if opens:
            self.stage.turn()

    def teardown(self):
        if hasattr(self, "stage"):
            self.stage.__exit__(*sys.exc_info())

    # What passes

    @happening(
        payloads=st.lists(st.binary(max_size=12), min_size=1, max_size=4),
        times=st.sampled_from([1, 1, 2, 20, 200]),
    )
    def speak(self, payloads, times):
        for number in range(times):
            for place, payload in enumerate(payloads, number * len(payloads)):
                self.stage.arrive(streams.fitting(self.stage.expected(place).framing, payload))

    @happening(data=st.data())
    def babble(self, data):
        self.stage.arrive(data.draw(streams.talk(self.stage.expected().framing)))

    @happening(size=st.sampled_from([0, 0, 0, 1, 7, 150, 5000, 1 << 30]))
    def make_room(self, size):
        self.stage.make_room(size)

    @happening(
        size=st.sampled_from([1, 2, 60]), times=st.integers(1, 5), seconds=st.sampled_from([0.0, 3.0, 15.0])
    )
    def take_slowly(self, size, times, seconds):
        self.stage.take_slowly(size, times, seconds)

    @happening(
        payloads=st.lists(st.binary(max_size=12), min_size=1, max_size=4),
        size=st.integers(1, 12),
        seconds=st.sampled_from([0.5, 3.0, 6.0]),
    )
    def speak_slowly(self, payloads, size, seconds):
        self.stage.speak_slowly(payloads, size, seconds)

    @happening(kind=st.sampled_from([BlockingIOError, InterruptedError]))
    def stutter(self, kind):
        self.stage.stutter(kind)

    @happening(events=st.sampled_from([EVENT_READ, EVENT_WRITE, EVENT_READ | EVENT_WRITE]))
    def lie(self, events):
        self.stage.lie(events)

    @happening(seconds=st.sampled_from([0.0, 0.5, 1.0, 3.0, 9.5, 29.0, 70.0]))
    def advance(self, seconds):
        self.stage.advance(seconds)

    @happening(size=st.sampled_from([0, 1, 50, 290, 400]))
    def write(self, size):
        self.stage.write(size)

    @happening(keep=st.booleans())
    def hold(self, keep):
        if self.style is StatePerformer:
            self.stage.hold() if keep else self.stage.release()

    @happening(keep=st.booleans())
    def pause(self, keep):
        self.stage.pause() if keep else self.stage.resume()

    @happening()
    def let_go(self):
        self.stage.resume()
        self.stage.release()
        self.stage.work()

    # What is the end of it, sooner or later

    @happening(
        what=st.sampled_from(["end", "end", "write_eof", "close", "abort", "vanish"]),
        number=st.sampled_from([errno.ECONNRESET, errno.EPIPE, errno.ETIMEDOUT, errno.EHOSTUNREACH]),
    )
    def end(self, what, number):
        self.stage.vanish(number) if what == "vanish" else getattr(self.stage, what)()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("style", [StatePerformer, CoroutinePerformer])
def test_a_row_is_the_models_whatever_happens(style):
    machine = type("Row", (_Row,), {"style": style})
    test = machine.TestCase
    test.settings = examples(130, steps=30)
    test("runTest").runTest()
