"""`AsyncStreamRequestHandler`: the handler as a coroutine, with no asyncio underneath.

A coroutine is a state machine whose state is its ``send``. What it awaits comes down to one
``yield``, of a `Framing` (the next message, please) or of a `Wait` (hold me until something
else is done); `_advance` sends the answer in and deals with what is yielded next. So a message
goes the same way here as to an explicit state machine, in the same delivery.

A request is complete when the next turn of ``async for`` begins, or when a coroutine that has
written reads again.
"""

from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Executor, Future
from inspect import iscoroutine
from typing import Any

from reactor.framing import Buffer, Framing, FramingError, Place
from reactor.handlers import ConnectionRequestHandler
from reactor.machine import CLOSED, HELD, Input
from reactor.offload import check_executor
from reactor.schedule import check_seconds
from reactor.streams import (
    DRAIN,
    ENDED_WRITER,
    IncompleteReadError,
    Offload,
    Sleep,
    StreamReader,
    StreamWriter,
    Wait,
    wait_for,
)
from reactor.timers import Timer


class AsyncStreamRequestHandler(ConnectionRequestHandler):
    """A coroutine: derive, and define ``async def handle(self)``. It runs on every server.

    It awaits messages of `rfile`, `wfile.drain`, `sleep` and `offload`; anything of asyncio's is a
    `TypeError`. `timeout`: seconds that each single wait for the peer may take, ended by
    `TimeoutError` in the handler. When `handle` returns, the connection is closed.
    """

    __slots__ = (
        "_coroutine",
        "_incomplete",
        "_timer",
        "_turn",
        "_wait_until",
        "_waiting",
        "_written",
        "rfile",
        "wfile",
    )

    timeout: float | None = None
    own_backlog = 16

    rfile: StreamReader
    wfile: StreamWriter

    def __init__(self, request: Any, client_address: Any, server: Any) -> None:
        self._coroutine: Coroutine[Any, Any, Any] | None = None
        self._incomplete: Framing | None = None
        self._waiting: Wait | None = None
        self._turn = False
        self._written = 0
        self._timer: Timer | None = None
        self._wait_until = 0.0
        super().__init__(request, client_address, server)

    def setup(self) -> None:
        super().setup()
        self.rfile = StreamReader(self)
        self.wfile = StreamWriter(self)

    async def handle(self) -> None:
        """Called for each connection: talk to the peer. The connection is closed when it returns."""

    def sleep(self, seconds: float) -> Awaitable[None]:
        """Wait so many seconds; nobody else does. Raises `ValueError` for a negative number."""
        check_seconds("sleep(seconds)", seconds)
        return wait_for(Sleep(seconds))

    def offload(
        self, function: Callable[..., Any], *args: Any, executor: Executor | None = None
    ) -> Awaitable[Any]:
        """Wait for ``function(*args)``, called in the reactor's pool (or in *executor*); gives its
        result or raises what it raised."""
        if not callable(function):
            raise TypeError(f"offload(function, ...) takes something to call, not {function!r}")
        if executor is not None:
            check_executor(executor)
        return wait_for(Offload(function, args, executor))

    # Driving it

    def _begin(self) -> None:
        coroutine = self.handle()
        if not iscoroutine(coroutine):
            raise TypeError(f"{type(self).__qualname__}.handle must be a coroutine: async def handle(self)")
        self._coroutine = coroutine
        self._step(None)

    def _step(self, message: bytes | None) -> None:
        """The state: resume the coroutine with what it waits for."""
        assert self._coroutine is not None
        incomplete = self._incomplete
        if incomplete is None:
            self._advance(self._coroutine.send, message)
        else:
            assert message is not None
            self._incomplete = None
            self._advance(self._coroutine.throw, IncompleteReadError(message, incomplete))

    def _throw(self, exc: BaseException) -> None:
        if self._coroutine is not None:
            self._advance(self._coroutine.throw, exc)

    def _advance(self, resume: Callable[[Any], Any], value: Any) -> None:
        """Resume the coroutine, and see to what it waits for next."""
        self._waiting = None
        self._expected = None
        try:
            wanted = resume(value)
        except StopIteration:
            self._coroutine = None
            self.close()
            return
        except BaseException as exc:
            self._coroutine = None
            if isinstance(exc, RuntimeError) and "no running event loop" in str(exc):
                raise _foreign("something of asyncio's") from exc
            if isinstance(exc, KeyboardInterrupt | SystemExit):
                self.close()  # it passes through the loop, which may go on without this coroutine
            raise
        finally:
            del value  # the traceback of what was thrown in holds this frame
        if isinstance(wanted, Framing):
            if self._turn or self.written != self._written or self._first is None:
                # Between requests: what comes next begins one.
                self._turn = False
                self._written = self.written
                if self._first is None or self._first[0] is not wanted:
                    self._first = wanted, self._step
                    self._scanned = 0
            else:
                self._expected = wanted, self._step
                self._scanned = 0
            if self.timeout is not None:
                self._bound_wait()
        elif isinstance(wanted, Wait):
            self._waiting = wanted
            try:
                wanted.begin(self)
            except Exception as exc:
                self._throw(exc)
        else:
            self._throw(_foreign(repr(wanted)))

    def _wake(self) -> None:
        """The end of a sleep."""
        self._timer = None
        self.blocked &= ~HELD
        self._deliver(self._go_on, self._step, None)

    def handle_drained(self) -> None:
        if self._waiting is DRAIN:
            self.blocked &= ~HELD
            self._step(None)

    def _offload_done(self, future: "Future[Any]") -> None:
        try:
            result = future.result()
        except BaseException as exc:
            self._throw(exc)
        else:
            self._step(result)

    def _bound_wait(self) -> None:
        """See that the wait for the peer that begins now ends within `timeout`.

        A timer that is under way is left alone and looks again when it comes, so that a wait
        costs a store and not a timer.
        """
        if self.timeout is not None:
            self._wait_until = self.reactor.clock() + self.timeout
            if self._timer is None:
                self._timer = self.reactor.call_at(self._wait_until, self._look_at_wait)

    def _look_at_wait(self) -> None:
        self._timer = None
        if (
            self._coroutine is None
            or self.blocked & CLOSED
            or not (self._waiting is None or self._waiting is DRAIN)
        ):
            return
        if self.reactor.clock() < self._wait_until:
            self._timer = self.reactor.call_at(self._wait_until, self._look_at_wait)
        else:
            self.blocked &= ~HELD
            self._deliver(
                self._go_on, self._throw, TimeoutError(f"waited {self.timeout:g} s for {self.waiting_for}")
            )

    def _completed_by_eof(self, framing: Framing) -> bool:
        return True  # it waits for something

    def _locate_at_eof(self, framing: Framing, buffer: Buffer, start: int) -> Place:
        """Whatever is awaited ends now: with what EOF completes, or with what there is."""
        if self.input is not Input.DROPPED:
            self.input = Input.OVER
        place = framing.locate_at_eof(buffer, start)
        if place is None:
            self._incomplete = framing
            place = start, len(buffer), len(buffer)
        return place

    def handle_exception(self, exc: BaseException) -> None:
        """As for every connection; but what the peer sent amiss is first raised where it was awaited."""
        if isinstance(exc, FramingError) and self._coroutine is not None:
            try:
                self._deliver(self._go_on, self._throw, exc)
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as worse:
                super().handle_exception(worse)
        else:
            super().handle_exception(exc)

    def handle_close(self) -> None:
        """The closing call: the coroutine is closed, then `finish`."""
        if self._timer is not None:
            self._timer.cancel()
        try:
            if self._coroutine is not None:
                self._coroutine.close()
        finally:
            self._coroutine = None
            super().handle_close()

    def _ended(self) -> None:
        try:
            super()._ended()
        finally:
            if hasattr(self, "wfile"):  # break the circles, so that the memory is free at once
                self.wfile = ENDED_WRITER
                del self.rfile

    def _write_at_once(self, data: bytes) -> None:
        before = self.written
        super()._write_at_once(data)
        self._written += self.written - before  # others' writes don't complete this one's request


def _foreign(what: str) -> TypeError:
    return TypeError(
        f"{what} was awaited in a coroutine handler, which has no asyncio underneath: await messages of "
        "self.rfile, self.wfile.drain(), self.sleep(seconds) or self.offload(function, ...)"
    )
