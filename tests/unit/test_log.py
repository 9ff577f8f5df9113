"""Proves that a cause is logged at most once a second and that no count is lost."""

from __future__ import annotations

import logging
import subprocess
import sys
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reactor.log import Throttle, logger
from tests.support.clock import ManualClock


class Lines(logging.Handler):
    """Keeps the lines as tuples (time, text)."""

    def __init__(self, clock):
        super().__init__()
        self.clock, self.lines = clock, []

    def emit(self, record):
        self.lines.append((self.clock(), record.getMessage()))


@pytest.fixture
def clock():
    return ManualClock(0.0)


@pytest.fixture
def logged(clock):
    handler = Lines(clock)
    logger.addHandler(handler)
    yield handler.lines
    logger.removeHandler(handler)


def test_a_cause_is_logged_at_once_then_held_back_for_a_second_then_with_a_count(clock, logged):
    throttle = Throttle()
    written = []
    for _ in range(11):
        written.append(throttle.warning(clock(), "flood", f"at {clock():g}"))
        clock.advance(0.125)
    assert written == [True, *[False] * 7, True, False, False]
    assert [text.partition(" (")[0] for _, text in logged] == ["at 0", "at 1"]
    assert "7 more" in logged[1][1]


def test_causes_do_not_hold_each_other_back(clock, logged):
    throttle = Throttle()
    assert [throttle.warning(clock(), cause, cause) for cause in "abab"] == [True, True, False, False]


def test_flush_says_what_was_held_back_once_it_has_been_quiet(clock, logged):
    throttle = Throttle()
    for _ in range(5):
        throttle.warning(clock(), "flood", "text")
    throttle.flush(clock.advance(0.5))
    assert len(logged) == 1
    throttle.flush(clock.advance(0.5))
    assert len(logged) == 2 and "flood" in logged[1][1] and "4 more" in logged[1][1]
    throttle.flush(clock.advance(10))
    assert len(logged) == 2


def test_what_raises_at_one_place_is_one_cause(clock, logged):
    throttle = Throttle()
    for word in ("one", "two", "three"):
        try:
            int(word)
        except ValueError as exc:
            throttle.raised(clock(), exc, "%s is no number: 100 %s of %r", word, "%", "them")
    try:
        int("four")
    except ValueError as exc:
        throttle.raised(clock(), exc, "100 % as it is")
    assert [text for _, text in logged] == ["one is no number: 100 % of 'them'", "100 % as it is"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 16), st.sampled_from(["a", "b", "flush"])), max_size=60))
def test_never_two_lines_of_a_cause_within_a_second_and_every_one_is_told_of(clock, logged, steps):
    throttle = Throttle()
    logged.clear()
    for sixteenths, what in steps:
        clock.advance(sixteenths / 16)
        if what == "flush":
            throttle.flush(clock())
        else:
            throttle.warning(clock(), what, f"{what}: it happened")
    throttle.flush(clock.advance(5))
    for cause in "ab":
        lines = [(when, text) for when, text in logged if text.startswith(f"{cause}:")]
        times = [when for when, _ in lines]
        assert all(after - before >= 1 for before, after in pairwise(times))
        told = sum("it happened" in text for _, text in lines)
        told += sum(
            int(word) for _, text in lines for word in text.replace("(and", "").split() if word.isdigit()
        )
        assert told == sum(what == cause for _, what in steps)


def test_the_logger_has_no_handler_and_a_bare_script_still_sees_warnings():
    script = (
        "import reactor, logging; from reactor.log import logger; assert logger.name == 'reactor';"
        "assert not logger.handlers and logger.level == 0 and logger.propagate;"
        "logger.info('quiet'); logger.warning('heard')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "heard\n")
