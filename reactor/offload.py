"""`OffloadPool`: work that would hold up the loop, done elsewhere; its result comes back to the loop."""

import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Executor, Future
from queue import Empty, SimpleQueue
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
        self._own: DaemonThreads | None = None

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

    def close(self, wait: bool = True) -> None:
        """Cancel what has not started and, with *wait*, wait for what runs; drop its results.

        Called from a worker of the pool itself, it does not wait.
        """
        pool, self._own = self._own, None
        if pool is not None:
            inside = pool.is_worker(threading.current_thread())
            pool.shutdown(wait=wait and not inside, cancel_futures=True)
            if inside:
                return
        self._call_soon_threadsafe = _nobody  # and keep nobody alive

    def _own_pool(self) -> Executor:
        if self._own is None:
            self._own = DaemonThreads(self.MAX_WORKERS)
        return self._own

    def _bring_back(self, done: Callable[["Future[Any]"], object], finished: "Future[Any]") -> None:
        try:
            self._call_soon_threadsafe(done, finished)
        except RuntimeError:
            pass  # the loop was closed meanwhile: nobody is left to want the result


class _Task:
    """One call, and the future of its result."""

    __slots__ = ("_args", "_function", "_kwargs", "future")

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.future: Future[Any] = Future()
        self._function = function
        self._args = args
        self._kwargs = kwargs

    def run(self) -> None:
        if self.future.set_running_or_notify_cancel():
            try:
                result = self._function(*self._args, **self._kwargs)
            except BaseException as exc:
                self.future.set_exception(exc)
            else:
                self.future.set_result(result)


class _Waiting:
    """The calls that no thread has begun, oldest first. One that is cancelled leaves at once, and the
    thread that was meant for it is *idle* again: peers that come, ask and go, while all threads are
    busy, must not leave their requests behind. Any thread may call all this."""

    def __init__(self, idle: threading.Semaphore) -> None:
        self._tasks: OrderedDict[Future[Any], _Task] = OrderedDict()
        self._tickets: SimpleQueue[bool] = SimpleQueue()  # one for each of them, and one that is the end
        self._idle = idle

    def put(self, task: _Task) -> None:
        self._tasks[task.future] = task
        self._tickets.put(True)
        task.future.add_done_callback(self._cancelled)

    def get(self) -> _Task | None:
        """Wait for the next; `None` at the end."""
        while self._tickets.get():
            try:
                return self._tasks.popitem(last=False)[1]
            except KeyError:
                pass  # cancelled just now
        self.end()  # for the next thread
        return None

    def end(self) -> None:
        """Tell all threads that nothing more comes."""
        self._tickets.put(False)

    def cancel(self) -> None:
        """Cancel them all."""
        for future in tuple(self._tasks):
            future.cancel()

    def _cancelled(self, future: "Future[Any]") -> None:
        if self._tasks.pop(future, None) is None:
            return  # it was begun
        self._idle.release()
        try:
            if not self._tickets.get_nowait():
                self.end()
        except Empty:
            pass  # a thread has it, and will find nothing


class DaemonThreads(Executor):
    """As `concurrent.futures.ThreadPoolExecutor`, but its threads are daemons: a name server that does
    not answer must not keep a process alive that was told to end. A thread is made when work comes
    and all others are busy, *most* of them in all."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._idle = threading.Semaphore(0)
        self._waiting = _Waiting(self._idle)
        self._threads: list[threading.Thread] = []
        self._end = weakref.finalize(self, self._waiting.end)  # threads end when nobody wants them any more
        self._end.atexit = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        """Call ``fn(*args, **kwargs)`` in one of the threads. Raises `RuntimeError` after `shutdown`."""
        task = _Task(fn, args, kwargs)
        with self._lock:
            if not self._end.alive:
                raise RuntimeError("cannot offload: this pool is shut down")
            if not self._idle.acquire(blocking=False) and len(self._threads) < self._most:
                self._start_thread()
            self._waiting.put(task)
        return task.future

    def _start_thread(self) -> None:
        name = f"reactor-offload_{len(self._threads)}"
        thread = threading.Thread(target=_work, args=(self._waiting, self._idle), name=name, daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no more threads to be had
            if not self._threads:
                raise
        else:
            self._threads.append(thread)

    def is_worker(self, thread: threading.Thread) -> bool:
        """Whether *thread* is one of these."""
        return thread in self._threads

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more work; with *cancel_futures*, drop what has not started; with *wait*, wait for
        what has."""
        with self._lock:
            if cancel_futures:
                self._waiting.cancel()
            self._end()
        if wait:
            for thread in self._threads:
                thread.join()


def _work(waiting: _Waiting, idle: threading.Semaphore) -> None:
    """What a thread does; it knows nothing of its pool, which can so be forgotten."""
    while (task := waiting.get()) is not None:
        task.run()
        del task  # or it would keep the result until the next one comes
        idle.release()


def _nobody(callback: Callable[..., object], *args: Any) -> None:
    raise RuntimeError("the loop is closed")


def check_executor(executor: object) -> None:
    """Raise `TypeError` for what is no executor."""
    if not isinstance(executor, Executor):
        raise TypeError(f"executor takes a concurrent.futures.Executor, not {executor!r}")
