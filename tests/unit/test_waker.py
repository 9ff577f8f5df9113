"""Proves that a waker ends a wait, from any thread or signal, however often it is called."""

from __future__ import annotations

import os
import selectors
import threading

import pytest

from reactor.events import EVENT_READ
from reactor.waker import Waker


@pytest.fixture
def waker():
    waker = Waker()
    yield waker
    waker.close()


@pytest.fixture
def selector(waker):
    with selectors.DefaultSelector() as selector:
        selector.register(waker, EVENT_READ)
        yield selector


def test_nobody_is_woken_without_a_reason(selector):
    assert selector.select(0) == []


def test_a_wake_before_the_wait_ends_it_at_once_and_is_then_used_up(selector, waker):
    waker.wake()
    assert len(selector.select(0)) == 1
    waker.handle_read()
    assert selector.select(0) == []


def test_another_thread_ends_a_wait(selector, waker):
    thread = threading.Thread(target=waker.wake)
    thread.start()
    # The time is no measure: without a wake nothing comes back, however long the wait.
    assert len(selector.select(20)) == 1
    thread.join()


def test_the_descriptor_for_signals_ends_a_wait(selector, waker):
    os.write(waker.wakeup_fd, b"\x0f")
    assert len(selector.select(0)) == 1


def test_wakes_without_number_never_block_and_are_soon_used_up(selector, waker):
    threads = [threading.Thread(target=lambda: [waker.wake() for _ in range(20_000)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not os.get_blocking(waker.wakeup_fd), "a signal must not block on it either"
    reads = 0
    while selector.select(0):
        waker.handle_read()
        reads += 1
        assert reads <= 100
    waker.wake()
    assert len(selector.select(0)) == 1, "a full pipe has not spoilt it"


def test_a_read_with_nothing_there_is_no_trouble(selector, waker):
    waker.handle_read()
    assert selector.select(0) == []


def test_a_wake_that_comes_after_the_end_is_no_trouble_and_no_descriptor_is_left(waker):
    fds = [waker.fileno(), waker.wakeup_fd]
    waker.close()
    waker.close()
    waker.wake()
    for fd in fds:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)
