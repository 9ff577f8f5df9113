"""Proves that timers are never early, never called twice, never called once cancelled, and kept in order."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from reactor.timers import SMALL, TimerQueue
from tests.support.clock import ManualClock


def run_due(queue, now):
    """What a turn does: call what is due and still wanted, put the repeating ones back."""
    for timer in queue.pop_due(now):
        if timer.active:
            callback, args = timer.callback, timer.args
            if timer.interval is None:
                timer.callback = None
            callback(*args)
            if timer.active:
                queue.rearm(timer, now)


_TIMES = st.lists(st.integers(0, 20), max_size=30)


@given(_TIMES, st.lists(st.integers(0, 5), max_size=30))
def test_each_is_called_once_not_early_and_in_order(times, steps):
    queue, clock, called = TimerQueue(), ManualClock(0.0), []
    for number, when in enumerate(times):
        queue.add(when, lambda when=when, number=number: called.append((clock(), when, number)))
    for step in [*steps, 1000]:
        clock.advance(step)
        run_due(queue, clock())
    assert all(now >= when for now, when, _ in called), "early"
    assert [entry[1:] for entry in called] == sorted((when, number) for number, when in enumerate(times))
    assert len(queue) == 0 and queue.next_time() is None


def test_a_timer_is_due_at_its_time_and_not_the_smallest_step_before():
    queue = TimerQueue()
    timer = queue.add(10.0, print)
    assert queue.pop_due(9.999999999) == []
    assert queue.next_time() == 10.0
    assert queue.pop_due(10.0) == [timer]
    assert queue.pop_due(10.0) == []


@given(_TIMES, st.data())
def test_what_is_cancelled_is_never_called_and_the_rest_is(times, data):
    queue, called = TimerQueue(), []
    timers = [queue.add(when, called.append, (number,)) for number, when in enumerate(times)]
    cancelled = data.draw(st.sets(st.integers(0, max(0, len(times) - 1))))
    for number in cancelled.intersection(range(len(times))):
        timers[number].cancel()
        timers[number].cancel()
    kept = [(when, number) for number, when in enumerate(times) if number not in cancelled]
    assert len(queue) == len(kept)
    assert queue.next_time() == (min(kept)[0] if kept else None)
    run_due(queue, 1000)
    assert called == [number for _, number in sorted(kept)]
    assert len(queue) == 0


def test_one_timer_may_cancel_another_that_is_due_with_it():
    queue, called = TimerQueue(), []
    queue.add(1, lambda: victim.cancel())
    victim = queue.add(1, called.append, ("victim",))
    run_due(queue, 1)
    assert called == []
    assert not victim.active
    assert len(queue) == 0


def test_a_timer_that_adds_one_due_at_once_does_not_hold_up_the_turn():
    queue, called = TimerQueue(), []

    def again():
        called.append(1)
        queue.add(0, again)

    again()
    for turn in range(2, 5):
        run_due(queue, 100)
        assert len(called) == turn


# Repeating


def test_a_repeating_timer_keeps_its_grid_and_skips_what_it_missed():
    queue, clock, called = TimerQueue(), ManualClock(0.0), []
    queue.add(10, lambda: called.append(clock()), (), 10)
    for now in (9, 10, 19, 23, 30, 65, 69, 70):
        clock.now = now
        run_due(queue, now)
        run_due(queue, now)
    #                 10  late 23  30  late 65 for 40, 50 and 60  70
    assert called == [10, 23, 30, 65, 70]


@given(st.integers(1, 1000), st.integers(0, 10**6), st.lists(st.integers(0, 5000), max_size=20))
def test_a_repeating_timer_is_next_due_on_its_grid_and_after_now(interval, first, steps):
    queue, now = TimerQueue(), first
    timer = queue.add(first, int, (), interval)
    for step in steps:
        now += step
        run_due(queue, now)
        assert (timer.when - first) % interval == 0
        assert now < timer.when <= now + interval


@given(st.floats(0.001, 100), st.floats(0, 10**6), st.floats(0, 10**4))
def test_a_repeating_timer_is_never_called_twice_for_one_instant(interval, first, late):
    queue, called = TimerQueue(), []
    queue.add(first, called.append, (1,), interval)
    now = first + late
    assume(now >= first)
    run_due(queue, now)
    run_due(queue, now)
    assert called == [1]


@pytest.mark.timeout(5, method="signal")
def test_an_interval_too_small_for_the_clock_does_not_hold_up_the_loop():
    queue, now, called = TimerQueue(), float(1 << 30), []
    assert now + 1e-9 == now
    queue.add(now, called.append, (1,), 1e-9)
    for turn in (1, 2, 3):
        run_due(queue, now)
        assert called == [1] * turn


def test_a_repeating_timer_that_cancels_itself_is_not_called_again():
    queue, called = TimerQueue(), []

    def once():
        called.append(1)
        timer.cancel()

    timer = queue.add(1, once, (), 1)
    for now in range(1, 5):
        run_due(queue, now)
    assert called == [1]
    assert (len(queue), queue.next_time()) == (0, None)


# What is kept


def test_a_program_that_cancels_all_it_adds_does_not_grow():
    queue = TimerQueue()
    for number in range(20_000):
        queue.add(1000 + number, print).cancel()
        assert len(queue._heap) <= 2 * SMALL + 2
    called = []
    times = [number * 7919 % 1000 for number in range(1000)]
    for when in times:
        queue.add(when, called.append, (when,))
    for number in range(20_000):
        queue.add(number % 1000, print).cancel()
    assert len(queue) == 1000
    assert len(queue._heap) <= 2 * 1000 + 2 * SMALL
    run_due(queue, 1000)
    assert called == sorted(times), "what was kept has kept its order"


def test_a_cancelled_timer_lets_go_of_its_callback_at_once():
    class Heavy:
        pass

    timer = TimerQueue().add(1000, print, (Heavy(),))
    timer.cancel()
    assert (timer.callback, timer.args, timer.active) == (None, (), False)


def test_what_is_put_back_is_counted_and_called_unless_it_was_cancelled_meanwhile():
    queue, called = TimerQueue(), []
    for name in "abc":
        queue.add(1, called.append, (name,))
    a, b, c = queue.pop_due(1)
    assert len(queue) == 0
    b.cancel()
    for timer in (a, b, c):
        queue.put_back(timer)
    assert len(queue) == 2
    run_due(queue, 1)
    assert called == ["a", "c"]
    assert (len(queue), queue.next_time()) == (0, None)


@pytest.mark.parametrize(("cancel", "what"), [(False, "print"), (True, "done or cancelled")])
def test_a_timer_says_what_it_will_call(cancel, what):
    timer = TimerQueue().add(12.5, print)
    if cancel:
        timer.cancel()
    assert "12.500" in repr(timer) and what in repr(timer)


def test_of_several_due_at_one_time_each_can_be_cancelled_and_the_rest_keep_their_order():
    queue = TimerQueue()
    first, second, third, last = (queue.add(1.0, print, (name,)) for name in ("a", "b", "c", "d"))
    first.cancel()
    third.cancel()
    assert len(queue) == 2
    assert queue.pop_due(1.0) == [second, last]
    for timer in (one := queue.add(2.0, print), other := queue.add(2.0, print)):
        timer.cancel()
    assert not one.active and not other.active and len(queue) == 0
    assert queue.next_time() is None


def test_a_time_that_is_used_again_and_again_does_not_grow():
    queue = TimerQueue()
    kept = queue.add(1.0, print)
    for _ in range(1000):
        queue.add(1.0, print).cancel()  # beside another
        queue.add(2.0, print).cancel()  # alone
    assert len(queue._heap) <= 2 + SMALL + 1
    assert len(queue) == 1
    assert queue.pop_due(3.0) == [kept]
    assert queue.pop_due(3.0) == []
