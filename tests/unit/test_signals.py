"""Proves that signal handlers are given back, also by a thread that cannot do that itself."""

import signal
import threading

import pytest

from reactor.signals import SignalWatch


@pytest.fixture(autouse=True)
def before():
    """What is done about the signal before anybody watches."""
    heard = []
    former = signal.signal(signal.SIGUSR1, lambda signum, frame: heard.append(signum))
    yield heard
    signal.signal(signal.SIGUSR1, former)


def in_a_thread(function):
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()


def watching(called):
    watch = SignalWatch()
    watch.watch(signal.SIGUSR1, lambda callback, *args: callback(*args), called.append, ("ours",))
    return watch


def test_a_signal_is_ours_until_it_is_given_back(before):
    called = []
    watch = watching(called)
    signal.raise_signal(signal.SIGUSR1)
    watch.restore()
    signal.raise_signal(signal.SIGUSR1)
    assert (called, before) == (["ours"], [signal.SIGUSR1])


def test_after_another_thread_has_given_it_back_the_next_signal_goes_to_whom_it_went_before(before):
    called = []
    watch = watching(called)
    in_a_thread(watch.restore)
    signal.raise_signal(signal.SIGUSR1)
    signal.raise_signal(signal.SIGUSR1)
    assert (called, before) == ([], [signal.SIGUSR1] * 2)


def test_it_can_be_watched_again_after_that(before):
    called = []
    watch = watching(called)
    in_a_thread(watch.restore)
    watch.watch(signal.SIGUSR1, lambda callback, *args: callback(*args), called.append, ("again",))
    signal.raise_signal(signal.SIGUSR1)
    assert (called, before) == (["again"], [])
    watch.restore()
    signal.raise_signal(signal.SIGUSR1)
    assert before == [signal.SIGUSR1]


def test_whoever_shares_a_signal_is_told_and_nobody_else(before):
    called = []
    watches = [SignalWatch() for _ in range(3)]
    for number, watch in enumerate(watches):
        watch.watch(
            signal.SIGUSR1, lambda callback, *args: callback(*args), called.append, (number,), shared=True
        )
    signal.raise_signal(signal.SIGUSR1)
    assert (sorted(called), before) == ([0, 1, 2], [])
    for watch in watches:
        watch.restore()


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2), (1, 2, 0)])
@pytest.mark.parametrize("elsewhere", [(), (0,), (1,), (2,), (0, 1, 2)])
def test_in_whatever_order_and_thread_they_are_given_back_those_that_are_left_are_told(
    order, elsewhere, before
):
    called = []
    watches = [SignalWatch() for _ in range(3)]
    for number, watch in enumerate(watches):
        watch.watch(
            signal.SIGUSR1, lambda callback, *args: callback(*args), called.append, (number,), shared=True
        )
    left = {0, 1, 2}
    for number in order:
        in_a_thread(watches[number].restore) if number in elsewhere else watches[number].restore()
        left.discard(number)
        called.clear()
        signal.raise_signal(signal.SIGUSR1)
        assert set(called) == left
        assert before == ([] if left else [signal.SIGUSR1])
