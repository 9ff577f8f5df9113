"""What a coroutine handler awaits: messages of `rfile`, and whatever holds it until something is done.

Each awaitable comes down to one ``yield``: of a `Framing`, for the next message, or of a `Wait`. The
handler that drives the coroutine (`coroutines`) deals with it and sends the answer in.
"""

import types
from collections.abc import Awaitable, Callable, Generator, Iterable
from concurrent.futures import Executor, Future
from typing import Any, Protocol

from reactor.connection import Data
from reactor.framing import Available, Exactly, Framing, Line, ToEOF, Until
from reactor.log import logger
from reactor.loop import Reactor
from reactor.timers import Timer

_LINE = Line()


class IncompleteReadError(EOFError):
    """The input ended before the message did. `partial`: the bytes that did come."""

    def __init__(self, partial: bytes, framing: Framing) -> None:
        super().__init__(f"input ended after {len(partial)} bytes of {framing}")
        self.partial = partial
        self.framing = framing


class Driver(Protocol):
    """What is asked here of the handler that drives a coroutine."""

    reactor: Reactor
    _timer: Timer | None
    _outbox: bytearray | None
    _turn: bool

    def write(self, data: Data) -> None: ...
    def hold(self) -> None: ...
    def _wake(self) -> None: ...
    def _bound_wait(self) -> None: ...
    def _offload(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        then: Callable[["Future[Any]"], object],
        executor: Executor | None,
    ) -> None: ...
    def _offload_done(self, future: "Future[Any]") -> None: ...


class Wait:
    """Something that a coroutine waits for and that is not a message: `begin` sees to it that the
    handler's `_advance` is called when it is over."""

    __slots__ = ()

    def begin(self, handler: Driver) -> None:
        raise NotImplementedError


class Sleep(Wait):
    __slots__ = ("_seconds",)

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def begin(self, handler: Driver) -> None:
        handler.hold()
        if handler._timer is not None:
            handler._timer.cancel()
        handler._timer = handler.reactor.call_later(self._seconds, handler._wake)


class Offload(Wait):
    __slots__ = ("_args", "_executor", "_function")

    def __init__(
        self, function: Callable[..., Any], args: tuple[Any, ...], executor: Executor | None
    ) -> None:
        self._function = function
        self._args = args
        self._executor = executor

    def begin(self, handler: Driver) -> None:
        handler._offload(self._function, self._args, handler._offload_done, self._executor)


class _Drain(Wait):
    __slots__ = ()

    def begin(self, handler: Driver) -> None:
        handler.hold()
        handler._bound_wait()


DRAIN = _Drain()


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
def _drain(handler: Driver) -> Generator[Wait, Any, None]:
    if handler._outbox is not None:  # by the time that it is awaited
        yield DRAIN


@types.coroutine
def wait_for(wait: Wait) -> Generator[Wait, Any, Any]:
    return (yield wait)


class StreamReader:
    """`rfile` of a coroutine handler. Iterate it for lines: ``async for line in self.rfile``."""

    __slots__ = ("_handler",)

    def __init__(self, handler: Driver) -> None:
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

    def __init__(self, handler: Driver) -> None:
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


class EndedWriter(StreamWriter):
    """`wfile` of a handler whose connection has ended, shared by all: writing is dropped."""

    __slots__ = ()

    def __init__(self) -> None:
        self.write = self._drop

    def _drop(self, data: Data) -> None:
        logger.debug("%d bytes written to a connection that has ended are dropped", len(data))

    def drain(self) -> Awaitable[None]:
        ready: Awaitable[None] = _READY
        return ready


ENDED_WRITER = EndedWriter()
