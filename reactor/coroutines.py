"""`AsyncStreamRequestHandler`: the handler as a coroutine, with no asyncio underneath.

A coroutine is a state machine whose state is its ``send``. What it awaits comes down to one
``yield``, of a `Framing` (the next message, please) or of a `Wait` (hold me until something
else is done); `_advance` sends the answer in and deals with what is yielded next. So a message
goes the same way here as to an explicit state machine, in the same delivery.

A request is complete when the next turn of ``async for`` begins, or when a coroutine that has
written reads again.
"""

import types
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable
from concurrent.futures import Executor, Future
from inspect import iscoroutine
from typing import Any

from reactor.connection import Data
from reactor.framing import Available, Buffer, Exactly, Framing, FramingError, Line, Place, ToEOF, Until
from reactor.handlers import ConnectionRequestHandler
from reactor.log import logger
from reactor.machine import CLOSED, HELD, Input
from reactor.offload import check_executor
from reactor.schedule import check_seconds
from reactor.timers import Timer

_LINE = Line()


class IncompleteReadError(EOFError):
    """The input ended before the message did. `partial`: the bytes that did come."""

    def __init__(self, partial: bytes, framing: Framing) -> None:
        super().__init__(f"input ended after {len(partial)} bytes of {framing}")
        self.partial = partial
        self.framing = framing


class Wait:
    """Something that a coroutine waits for and that is not a message: `begin` sees to it that the
    handler's `_advance` is called when it is over."""

    __slots__ = ()

    def begin(self, handler: "AsyncStreamRequestHandler") -> None:
        raise NotImplementedError


class _Sleep(Wait):
    __slots__ = ("_seconds",)

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def begin(self, handler: "AsyncStreamRequestHandler") -> None:
        handler.hold()
        if handler._timer is not None:
            handler._timer.cancel()
        handler._timer = handler.reactor.call_later(self._seconds, handler._wake)


class _Offload(Wait):
    __slots__ = ("_args", "_executor", "_function")

    def __init__(
        self, function: Callable[..., Any], args: tuple[Any, ...], executor: Executor | None
    ) -> None:
        self._function = function
        self._args = args
        self._executor = executor

    def begin(self, handler: "AsyncStreamRequestHandler") -> None:
        handler._offload(self._function, self._args, handler._offload_done, self._executor)


class _Drain(Wait):
    __slots__ = ()

    def begin(self, handler: "AsyncStreamRequestHandler") -> None:
        handler.hold()
        handler._bound_wait()


_DRAIN = _Drain()


class _Ready(tuple[()]):
    """What needs no waiting: an awaitable that is done, made once, awaited in C."""

    __slots__ = ()
    __await__ = tuple.__iter__


_READY: Any = _Ready()


@types.coroutine
def _read(framing: Framing) -> Generator[Framing, bytes, bytes]:
    return (yield framing)


@types.coroutine
def _read_nothing() -> Generator[Framing, bytes, bytes]:
    return b""
    yield


@types.coroutine
def _read_to_eof(framing: Framing) -> Generator[Framing, bytes, bytes]:
    """Read a message, or what there is of it at the end of input."""
    try:
        return (yield framing)
    except IncompleteReadError as incomplete:
        return incomplete.partial


@types.coroutine
def _drain(handler: "AsyncStreamRequestHandler") -> Generator[Wait, Any, None]:
    if handler._outbox is not None:  # by the time that it is awaited
        yield _DRAIN


@types.coroutine
def _wait(wait: Wait) -> Generator[Wait, Any, Any]:
    return (yield wait)


class StreamReader:
    """`rfile` of a coroutine handler. Iterate it for lines: ``async for line in self.rfile``."""

    __slots__ = ("_handler",)

    def __init__(self, handler: "AsyncStreamRequestHandler") -> None:
        self._handler = handler

    def __aiter__(self) -> "StreamReader":
        return self

    @types.coroutine
    def __anext__(self) -> Generator[Framing, bytes, bytes]:
        self._handler._turn = True
        try:
            return (yield _LINE)
        except IncompleteReadError as incomplete:
            if not incomplete.partial:
                raise StopAsyncIteration from None
            return incomplete.partial

    def readline(self) -> Awaitable[bytes]:
        """The next line, its end kept; the unterminated rest at the end of input, then ``b""``.

        At most 64 KiB (`FramingError`); ``read_message(Line(limit=...))`` takes more.
        """
        return _read_to_eof(_LINE)

    def readexactly(self, n: int) -> Awaitable[bytes]:
        """*n* bytes. Raises `IncompleteReadError` if the input ends before."""
        return _read(Exactly(n)) if n else _read_nothing()

    def readuntil(self, separator: bytes = b"\n") -> Awaitable[bytes]:
        """All up to *separator*, which is kept. Raises `IncompleteReadError` if the input ends before."""
        return _read(Until(separator))

    def read(self, n: int = -1) -> Awaitable[bytes]:
        """What there is, at most *n* bytes, or everything to the end of input if *n* is negative.
        ``b""`` at the end of input."""
        if not isinstance(n, int):
            raise TypeError(f"read(n) takes a whole number of bytes, not {n!r}")
        if n == 0:
            return _read_nothing()
        return _read_to_eof(ToEOF() if n < 0 else Available(n))

    def read_message(self, framing: Framing) -> Awaitable[bytes]:
        """The next message of *framing*. Raises `IncompleteReadError` if the input ends before it does,
        `FramingError` for what is no message; nothing more can be read after that."""
        if not isinstance(framing, Framing):
            raise TypeError(f"read_message(framing) takes a framing such as Netstring(), not {framing!r}")
        return _read(framing)


class StreamWriter:
    """`wfile` of a coroutine handler."""

    __slots__ = ("_handler", "write")

    def __init__(self, handler: "AsyncStreamRequestHandler") -> None:
        self._handler = handler
        self.write: Callable[[Data], None] = handler.write

    def writelines(self, lines: Iterable[Data]) -> None:
        """Write each of *lines*; adds no line ends, as in `io`."""
        for line in lines:
            self.write(line)

    def drain(self) -> Awaitable[None]:
        """Wait until the peer has taken what it is owed; at once if it keeps up. A coroutine that
        writes without ever draining is closed at 16 times ``send_buffer_limit``."""
        if self._handler._outbox is None:
            ready: Awaitable[None] = _READY
            return ready
        return _drain(self._handler)


class _EndedWriter(StreamWriter):
    """`wfile` of a handler whose connection has ended, shared by all: writing is dropped."""

    __slots__ = ()

    def __init__(self) -> None:
        self.write = self._drop

    def _drop(self, data: Data) -> None:
        logger.debug("%d bytes written to a connection that has ended are dropped", len(data))

    def drain(self) -> Awaitable[None]:
        ready: Awaitable[None] = _READY
        return ready


_ENDED_WRITER = _EndedWriter()


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
        return _wait(_Sleep(seconds))

    def offload(
        self, function: Callable[..., Any], *args: Any, executor: Executor | None = None
    ) -> Awaitable[Any]:
        """Wait for ``function(*args)``, called in the reactor's pool (or in *executor*); gives its
        result or raises what it raised."""
        if not callable(function):
            raise TypeError(f"offload(function, ...) takes something to call, not {function!r}")
        if executor is not None:
            check_executor(executor)
        return _wait(_Offload(function, args, executor))

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
        if self._incomplete is None:
            self._advance(self._coroutine.send, message)
        else:
            assert message is not None
            error = IncompleteReadError(message, self._incomplete)
            self._incomplete = None
            self._advance(self._coroutine.throw, error)

    def _throw(self, exc: BaseException) -> None:
        if self._coroutine is not None:
            self._advance(self._coroutine.throw, exc)

    def _advance(self, resume: Callable[[Any], Any], value: Any) -> None:
        """Resume the coroutine, and see to what it waits for next."""
        self._waiting = None
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
            wanted.begin(self)
        else:
            self._throw(_foreign(repr(wanted)))

    def _wake(self) -> None:
        """The end of a sleep."""
        self._timer = None
        self.blocked &= ~HELD
        self._deliver(self._go_on, self._step, None)

    def handle_drained(self) -> None:
        if self._waiting is _DRAIN:
            self.blocked &= ~HELD
            self._step(None)

    def _offload_done(self, future: "Future[Any]") -> None:
        exc = future.exception()
        if exc is None:
            self._step(future.result())
        else:
            self._throw(exc)

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
            or not (self._waiting is None or self._waiting is _DRAIN)
        ):
            return
        if self.reactor.clock() < self._wait_until:
            self._timer = self.reactor.call_at(self._wait_until, self._look_at_wait)
        else:
            self.blocked &= ~HELD
            self._deliver(self._throw, TimeoutError(f"waited {self.timeout:g} s for {self.waiting_for}"))

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
            self._drop_input()
            try:
                self._deliver(self._throw, exc)
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
        super()._ended()
        if hasattr(self, "wfile"):  # break the circles, so that the memory is free at once
            self.wfile = _ENDED_WRITER
            del self.rfile


def _foreign(what: str) -> TypeError:
    return TypeError(
        f"{what} was awaited in a coroutine handler, which has no asyncio underneath: await messages of "
        "self.rfile, self.wfile.drain(), self.sleep(seconds) or self.offload(function, ...)"
    )
