"""`OffloadPool`: work that would hold up the loop, done elsewhere; its result comes back to the loop."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

Deliver = Callable[..., object]


class OffloadPool:
    """Runs calls in an executor and hands the finished `Future` back through *call_soon_threadsafe*.

    Without an *executor*, a thread pool of at most `MAX_WORKERS` is made on first use and belongs
    to this object; one that was passed in (any `concurrent.futures.Executor`) belongs to its
    owner. What waits is bounded by the callers: a held request has one call under way.
    Belongs to the loop's thread, `close` included.
    """

    MAX_WORKERS = min(32, (os.cpu_count() or 1) + 4)

    def __init__(self, call_soon_threadsafe: Deliver, executor: Executor | None = None) -> None:
        if executor is not None:
            check_executor(executor)
        self._call_soon_threadsafe: Deliver = call_soon_threadsafe
        self._executor = executor
        self._own: ThreadPoolExecutor | None = None
        self._workers: set[int] = set()

    def submit(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        done: Callable[["Future[Any]"], object],
        executor: Executor | None = None,
    ) -> "Future[Any]":
        """Call ``function(*args)`` in the pool (or in *executor*), then ``done(future)`` in the loop.

        A call not yet started can be cancelled (`Future.cancel`); *done* is called for it too.
        Raises `TypeError` if *function* can't be called.
        """
        if executor is not None:
            check_executor(executor)
        if not callable(function):
            raise TypeError(f"offload(function, ...) takes something to call, not {function!r}")
        future = (executor or self._executor or self._own_pool()).submit(function, *args)
        future.add_done_callback(lambda finished: self._bring_back(done, finished))
        return future

    def close(self) -> None:
        """Cancel what has not started and wait for what runs; drop its results.

        Called from a worker of the pool itself, it does not wait.
        """
        pool, self._own = self._own, None
        if pool is not None:
            inside = threading.get_ident() in self._workers
            pool.shutdown(wait=not inside, cancel_futures=True)
            self._workers = set()
            if inside:
                return
        self._call_soon_threadsafe = _nobody  # and keep nobody alive

    def _own_pool(self) -> Executor:
        if self._own is None:
            self._own = ThreadPoolExecutor(
                self.MAX_WORKERS, thread_name_prefix="reactor-offload", initializer=self._note_worker
            )
        return self._own

    def _note_worker(self) -> None:
        self._workers.add(threading.get_ident())

    def _bring_back(self, done: Callable[["Future[Any]"], object], finished: "Future[Any]") -> None:
        try:
            self._call_soon_threadsafe(done, finished)
        except RuntimeError:
            pass  # the loop was closed meanwhile: nobody is left to want the result


def _nobody(callback: Callable[..., object], *args: Any) -> None:
    raise RuntimeError("the loop is closed")


def check_executor(executor: object) -> None:
    """Raise `TypeError` for what is no executor."""
    if not isinstance(executor, Executor):
        raise TypeError(f"executor takes a concurrent.futures.Executor, not {executor!r}")
