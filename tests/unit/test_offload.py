"""Proves that offloaded calls run in a bounded pool, or any executor, and come back to the loop."""

from __future__ import annotations

import concurrent.futures
import gc
import multiprocessing
import queue
import threading
import weakref
from functools import partial

import pytest

from reactor.offload import DaemonThreads, OffloadPool
from tests.support.servers import ended, program

#: Seconds after which a test gives up. None is meant to take any.
PATIENCE = 20


class Loop:
    """Keeps what comes back; its own thread calls it."""

    def __init__(self):
        self.calls = queue.SimpleQueue()

    def call_soon_threadsafe(self, callback, *args):
        self.calls.put((callback, args))

    def run_one(self):
        callback, args = self.calls.get(timeout=PATIENCE)
        callback(*args)


class Inline(concurrent.futures.Executor):
    """An executor that does things at once, and counts them."""

    submitted = 0

    def submit(self, fn, /, *args, **kwargs):
        self.submitted += 1
        future = concurrent.futures.Future()
        future.set_result(fn(*args, **kwargs))
        return future


@pytest.fixture
def loop():
    return Loop()


@pytest.fixture
def pool(loop):
    pool = OffloadPool(loop.call_soon_threadsafe)
    yield pool
    pool.close()


@pytest.fixture
def gate():
    """Holds up workers until it is set; opened at the end, so that no failing test hangs."""
    gate = threading.Event()
    yield gate
    gate.set()


def test_the_call_is_made_elsewhere_and_its_result_comes_back_to_the_loop(loop, pool):
    done = []
    future = pool.submit(lambda *args: (threading.get_ident(), args), (1, 2), done.append)
    thread, args = future.result(PATIENCE)
    assert thread != threading.get_ident() and args == (1, 2)
    assert done == [], "the callback is the loop's to call, not the worker's"
    loop.run_one()
    assert done == [future]


def test_an_exception_comes_back_in_the_future(loop, pool):
    done = []
    pool.submit(lambda: 1 / 0, (), done.append)
    loop.run_one()
    assert isinstance(done[0].exception(), ZeroDivisionError)


def test_what_cannot_be_called_is_refused_at_once(pool):
    with pytest.raises(TypeError, match=r"offload\(function"):
        pool.submit("render", (), print)


def test_the_pool_is_bounded(monkeypatch, loop, pool, gate):
    monkeypatch.setattr(OffloadPool, "MAX_WORKERS", 2)
    threads, both = set(), threading.Barrier(3)

    def work(first):
        threads.add(threading.get_ident())
        if first:
            both.wait(PATIENCE)
        gate.wait(PATIENCE)

    futures = [pool.submit(work, (number < 2,), print) for number in range(8)]
    both.wait(PATIENCE)
    assert [future.running() for future in futures] == [True, True, *[False] * 6]
    gate.set()
    concurrent.futures.wait(futures, PATIENCE)
    # Each that waits at the gate keeps its thread busy: an unbounded pool would have had to make eight.
    assert len(threads) == 2


def test_no_thread_is_made_before_there_is_work(loop):
    before = threading.active_count()
    OffloadPool(loop.call_soon_threadsafe).close()
    assert threading.active_count() == before


def test_a_call_not_yet_started_can_be_cancelled_and_is_said_to_be(monkeypatch, loop, pool, gate):
    monkeypatch.setattr(OffloadPool, "MAX_WORKERS", 1)
    called, done = [], []
    running = pool.submit(gate.wait, (PATIENCE,), done.append)
    waiting = pool.submit(called.append, ("no",), done.append)
    assert waiting.cancel()
    loop.run_one()
    assert done == [waiting] and waiting.cancelled()
    gate.set()
    loop.run_one()
    assert done == [waiting, running] and running.result()
    assert called == []


class Page:
    """Something to render."""


def test_what_is_cancelled_is_kept_by_nobody_while_all_threads_are_busy(monkeypatch, loop, pool, gate):
    monkeypatch.setattr(OffloadPool, "MAX_WORKERS", 1)
    pool.submit(gate.wait, (PATIENCE,), print)
    pages = weakref.WeakSet()
    for number in range(100):
        page = Page()
        pages.add(page)
        future = pool.submit(id, (page,), partial(print, page))
        if number % 10:
            assert future.cancel()
            loop.calls.get()
    del page, future
    gc.collect()
    assert len(pages) == 10, "those that are still to come"
    gate.set()
    assert [loop.calls.get(timeout=PATIENCE)[1][0].result() is not None for _ in range(11)] == [True] * 11


def test_after_any_number_of_cancelled_calls_threads_are_neither_lost_nor_made_without_need(loop, gate):
    with DaemonThreads(2) as pool:
        busy = pool.submit(gate.wait, PATIENCE)
        pool.submit(pow, 1, 1).result(PATIENCE)
        for _ in range(20):
            pool.submit(pow, 1, 1).cancel()
        waiting = [pool.submit(pow, 2, n) for n in range(20)]
        assert [future.result(PATIENCE) for future in waiting] == [2**n for n in range(20)]
        assert not busy.done() and len(pool._threads) == 2
        gate.set()
    assert not any(thread.is_alive() for thread in pool._threads)


# Its threads


def test_a_thread_that_is_idle_is_used_again_and_others_are_not_made(loop, pool):
    threads = {pool.submit(threading.get_ident, (), print).result(PATIENCE)}
    for _ in range(20):
        loop.run_one()  # the thread is idle before it has told us
        threads.add(pool.submit(threading.get_ident, (), print).result(PATIENCE))
    assert len(threads) <= 2


def test_its_threads_keep_no_process_alive():
    hang = "DaemonThreads(1).submit(threading.Event().wait)"
    with program(f"import threading; from reactor.offload import DaemonThreads; {hang}") as process:
        assert ended(process) == (0, "", "")


def test_its_threads_end_when_it_is_forgotten():
    pool = DaemonThreads(2)
    pool.submit(pow, 1, 1).result(PATIENCE)
    threads = list(pool._threads)
    del pool
    gc.collect()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()


def test_a_pool_that_is_shut_down_takes_nothing():
    pool = DaemonThreads(1)
    pool.shutdown()
    with pytest.raises(RuntimeError, match="shut down"):
        pool.submit(pow, 1, 1)


def test_when_no_thread_can_be_started_the_others_do_the_work_and_without_any_it_is_an_error(monkeypatch):
    def start(thread):
        raise RuntimeError("can't start new thread")

    with DaemonThreads(4) as pool:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", start)
            with pytest.raises(RuntimeError, match="start"):
                pool.submit(pow, 1, 1)
        gate = threading.Event()
        busy = pool.submit(gate.wait, PATIENCE)
        monkeypatch.setattr(threading.Thread, "start", start)
        waiting = pool.submit(pow, 2, 5)
        gate.set()
        assert (busy.result(PATIENCE), waiting.result(PATIENCE)) == (True, 32)


# Other executors


def test_any_executor_serves_in_its_place_and_stays_its_owners(loop):
    mine, other = Inline(), Inline()
    pool, done = OffloadPool(loop.call_soon_threadsafe, mine), []
    pool.submit(pow, (2, 5), done.append)
    pool.submit(pow, (2, 6), done.append, other)
    loop.run_one()
    loop.run_one()
    assert [future.result() for future in done] == [32, 64]
    assert (mine.submitted, other.submitted) == (1, 1)
    pool.close()
    assert mine.submit(pow, 2, 7).result() == 128


def test_closing_does_not_shut_down_an_executor_that_was_passed_in(loop):
    with concurrent.futures.ThreadPoolExecutor(1) as mine:
        pool = OffloadPool(loop.call_soon_threadsafe, mine)
        pool.submit(pow, (2, 5), print)
        pool.close()
        assert mine.submit(pow, 2, 7).result(PATIENCE) == 128


def test_processes_bring_their_results_back_too(loop, pool):
    done = []
    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as processes:
        pool.submit(pow, (3, 4), done.append, processes)
        loop.run_one()
    assert done[0].result() == 81


def test_what_is_no_executor_is_refused_at_once(loop):
    with pytest.raises(TypeError, match="executor"):
        OffloadPool(loop.call_soon_threadsafe, 4)


# Closing


def test_close_cancels_what_has_not_started_and_waits_for_what_runs(monkeypatch, loop, gate):
    monkeypatch.setattr(OffloadPool, "MAX_WORKERS", 1)
    called, finished = [], []

    def back(done, future):
        if future.cancelled():
            gate.set()  # only now may the running call go on: while `close` waits for it

    def run():
        started.set()
        finished.append(gate.wait(PATIENCE))

    started = threading.Event()
    pool = OffloadPool(back)
    pool.submit(run, (), print)
    assert started.wait(PATIENCE)
    waiting = pool.submit(called.append, ("no",), print)
    pool.close()
    assert (finished, called, waiting.cancelled()) == ([True], [], True)


def test_close_need_not_wait_and_drops_the_result(loop, gate):
    def run():
        started.set()
        return gate.wait(PATIENCE)

    started = threading.Event()
    pool = OffloadPool(loop.call_soon_threadsafe)
    running = pool.submit(run, (), print)
    assert started.wait(PATIENCE)
    pool.close(wait=False)
    assert not running.done()
    gate.set()
    assert running.result(PATIENCE)
    assert loop.calls.empty()


def test_closing_twice_or_unused_is_no_trouble(loop, pool):
    pool.close()
    pool.submit(pow, (1, 1), print).result(PATIENCE)
    pool.close()
    pool.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("reactor-offload")]


@pytest.mark.parametrize("warm", [False, True], ids=["first-call", "later-call"])
def test_close_from_a_worker_of_the_pool_itself_does_not_wait_for_itself(loop, warm):
    pool = OffloadPool(loop.call_soon_threadsafe)
    done = []
    if warm:
        pool.submit(pow, (1, 1), done.append).result(PATIENCE)
        loop.run_one()
        done.clear()
    future = pool.submit(pool.close, (), done.append)
    assert future.result(PATIENCE) is None
    loop.run_one()
    assert done == [future]


def test_a_result_that_comes_when_the_loop_is_closed_is_dropped_in_silence(caplog):
    def closed(callback, *args):
        raise RuntimeError("call_soon_threadsafe() of a closed reactor")

    pool = OffloadPool(closed)
    assert pool.submit(pow, (2, 3), print).result(PATIENCE) == 8
    pool.close()  # waits for the worker, and so for what it would have logged
    assert caplog.records == []
