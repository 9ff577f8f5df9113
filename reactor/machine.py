"""`StateMachine`: bytes in, messages out. No I/O; every byte that enters a handler passes here.

How it works. A machine always knows two expectations, each a framing and a state (a callable
that takes the message):

- ``_first``: what every request begins with. The first thing ever expected becomes it, and
  `begin_with` changes it;
- ``_expected``: what the request now under way goes on with, or `None` between requests.

When a message is complete its state is entered. If the state expects nothing more and holds
nothing, the request is complete and the next one begins with ``_first`` again. `hold` says
that the request waits on something other than its peer: no message is delivered until
`release`. Whatever keeps messages back is a reason in ``blocked``; while any is set, bytes
stay in the inbox. A delivery is bounded too: after `MESSAGES_PER_DELIVERY` it stops with
``BUDGET`` set, so that one peer's batch cannot hold up the others.

The inbox is ``b""``, or the partial rest of what came, as a bytearray that is appended to and
scanned from where the last scan ended, so work stays linear however the bytes are split. A
chunk that holds whole messages never goes through it: messages are slices of the chunk. One that
is one whole message, or whole lines, each a request, goes a short way (both in `feed`); all else goes
the long one (`_feed`).
"""

import sys
from collections.abc import Callable
from enum import Enum
from io import BytesIO
from itertools import islice
from typing import Any

from reactor.framing import Buffer, Exactly, Framing, FramingError, Place

State = Callable[[bytes], object]

#: Most messages in one delivery; the rest comes with the next turn.
MESSAGES_PER_DELIVERY = 256

# Why no message is delivered now: bits of ``blocked``.
HELD = 1  #: `hold`: the request waits on something other than its peer
PAUSED = 2  #: `pause_reading`: somebody else's back-pressure
FULL = 4  #: more than ``send_buffer_limit`` is owed to the peer
BUDGET = 8  #: this delivery is used up
NEXT_TURN = 16  #: ... and it has been arranged that the next turn goes on with it
CLOSED = 32  #: nothing more will ever be delivered

#: The place of a message that is not all there.
INCOMPLETE: Place = (0, 0, -1)


class Input(Enum):
    """What is known of the end of the bytes."""

    OPEN = "open"
    ENDED = "ended"  #: EOF was seen; what came before it may still have to be delivered
    LAST = "last"  #: what EOF itself completes has been delivered
    OVER = "over"  #: and `handle_eof` was called: nothing more will come
    DROPPED = "dropped"  #: what came made no sense, or the connection ends: bytes are thrown away


# Once: before Python 3.12 to ask an `Enum` for a member takes ten times as long as a global.
_OPEN = Input.OPEN
_ENDED = Input.ENDED
_OVER = Input.OVER
_DROPPED = Input.DROPPED


class StateMachine:
    """An inbox, the framing now expected, and the state to enter when its message is complete.

    Drive it with `feed` and `end_input`; both call states, and let pass whatever they raise.
    Not thread-safe: it belongs to one loop.
    """

    __slots__ = (
        "_expected",
        "_first",
        "_inbox",
        "_request_size",
        "_scanned",
        "blocked",
        "completed",
        "input",
        "max_request_size",
    )

    def __init__(self, max_request_size: int | None = None) -> None:
        self._inbox: Buffer = b""
        self._scanned = 0
        self._first: tuple[Framing, State] | None = None
        self._expected: tuple[Framing, State] | None = None
        self._request_size = 0
        self.blocked = 0
        self.completed = 0
        self.input = _OPEN
        self.max_request_size = sys.maxsize if max_request_size is None else max_request_size

    # What states call

    def expect(self, framing: Framing, state: State) -> None:
        """Enter *state* with the next message that *framing* finds.

        Called from a state, it goes on with the same request. The first call of all, usually
        from ``start``, also says what every request begins with.
        """
        if self._first is None:
            self.begin_with(framing, state)
        else:
            _check_expectation(framing, state)
            self._expected = framing, state
            self._scanned = 0

    def begin_with(self, framing: Framing, state: State) -> None:
        """Begin each following request with *framing* and *state* (after a log-in, a greeting)."""
        _check_expectation(framing, state)
        if isinstance(framing, Exactly) and not framing.size:
            raise ValueError("a request begins with its first byte: it cannot begin with Exactly(0)")
        self._first = framing, state
        self._scanned = 0

    def hold(self) -> None:
        """Deliver nothing more until `release`: this request waits on something else than its peer."""
        self.blocked |= HELD

    def release(self) -> None:
        """End `hold`. The next `feed` finds the request complete if it expects nothing more, and
        delivers what waits in the inbox."""
        if not self.blocked & HELD:
            raise RuntimeError("release() without hold(): this request is not held")
        self.blocked &= ~HELD

    # What is asked of it

    @property
    def held(self) -> bool:
        """Whether the request is held."""
        return bool(self.blocked & HELD)

    @property
    def begun(self) -> bool:
        """Whether a request is under way: begun with its first byte, and not complete."""
        return self._expected is not None or bool(self._inbox)

    @property
    def expecting(self) -> Framing | None:
        """The framing of the message that comes next."""
        expected = self._expected or self._first
        return None if expected is None else expected[0]

    # What drives it

    def feed(self, data: bytes = b"") -> None:
        """Take *data* in and enter a state for every message that is now complete.

        With no data, goes on with what the inbox holds. Raises `FramingError` for bytes that
        are no message or one over a limit, after which nothing more is taken in, and whatever a
        state raises, whose message is then used up and its request over.
        """
        expected = self._first
        length = len(data)
        are_lines = False
        if not (
            expected is None
            or self._expected is not None
            or self._inbox
            or self._request_size
            or self.blocked
            or self.input is not _OPEN
            or length > self.max_request_size
            or not data
        ):
            framing, state = expected
            separator = framing.separator
            if separator is not None and length <= framing.limit and data.endswith(separator):
                if not separator or data.find(separator) == length - len(separator):
                    try:
                        state(data)
                    except BaseException as exc:
                        self._failed(exc)
                        raise
                    if self._expected is None and not self.blocked & HELD:
                        self.completed += 1
                        return
                    self._request_size = length
                    if self._expected is not None:
                        self._feed(data, length, MESSAGES_PER_DELIVERY - 1)
                    return
                are_lines = separator == b"\n"
        if not are_lines:
            self._feed(data, 0, MESSAGES_PER_DELIVERY)
            return
        # For as long as each line is a request.
        start = completed = 0
        try:
            for message in islice(BytesIO(data), MESSAGES_PER_DELIVERY):
                start += len(message)
                state(message)
                if self.blocked or self._expected is not None or self._first is not expected:
                    if self._expected is None and not self.blocked & HELD:
                        completed += 1
                    else:
                        self._request_size = len(message)
                    break
                completed += 1
            else:
                if completed == MESSAGES_PER_DELIVERY:
                    self.blocked |= BUDGET
        except BaseException as exc:
            self._failed(exc)
            if start < length and self.input is _OPEN and not self.blocked & CLOSED:
                self._keep(data[start:])
            raise
        finally:
            self.completed += completed
        if start < length or self._expected is not None:
            self._feed(data, start, MESSAGES_PER_DELIVERY - completed - 1)

    def _feed(self, data: bytes, start: int, budget: int) -> None:
        """`feed` for all other bytes and framings: what is in the inbox, then *data* from *start* on. Enters
        *budget* states at most."""
        if self.input is Input.DROPPED:
            data = b""
        buffer: Any = self._keep(data) if self._inbox else data  # a bytearray, or the chunk itself
        if self._request_size and self._expected is None and not self.blocked & HELD:
            self._complete()  # by `release`
        completed = 0
        known: object = self  # the expectation that the names below are about: none yet
        length = len(buffer)
        scanned = start or self._scanned
        most = self.max_request_size
        in_chunk = type(buffer) is bytes  # else it is the inbox
        try:
            for _ in range(budget):
                if self.blocked:
                    break
                expected = self._expected or self._first
                if expected is not known:
                    known = expected
                    if expected is None:
                        self._at_end()
                        start = length  # nobody wants these bytes: they are thrown away
                        break
                    framing, state = expected
                    least = framing.least
                    limit = framing.limit
                    separator = framing.separator
                    width = len(separator or b"")
                if length - start < least:
                    if start == length and self._expected is None and self.input is _OPEN:
                        break  # between requests, which begin with their first byte
                    end = -1
                elif not separator:
                    first, last, end = framing.locate(buffer, start, scanned) or INCOMPLETE
                else:
                    first = start
                    end = buffer.find(separator, scanned)
                    if end >= 0:
                        last = end = end + width
                        if end - start > limit:
                            raise framing.too_long(end - start)
                    elif length - start >= limit:
                        raise framing.too_long(length - start)
                if end < 0:
                    first, last, end = self._locate_incomplete(framing, buffer, start)
                    if end < 0:
                        scanned = framing.rescan(buffer, start)
                        break
                size = end - start
                if self._request_size + size > most:
                    raise self._too_large(self._request_size + size)
                message = buffer[first:last] if in_chunk else bytes(memoryview(buffer)[first:last])
                start = scanned = end
                self._expected = None
                begun = size or self._request_size or self.input is not Input.OVER
                state(message)
                if self._expected is None and not self.blocked & HELD:
                    if begun:
                        completed += 1  # else it was EOF itself, told to a coroutine
                    self._request_size = 0
                else:
                    self._request_size = self._request_size + size or bool(begun)  # above 0 while open
            else:
                self.blocked |= BUDGET
        except BaseException as exc:
            self._failed(exc)
            if self.input is Input.DROPPED:
                start = length
            raise
        finally:
            self.completed += completed
            if start < length and not self.blocked & CLOSED:
                if in_chunk:
                    buffer = bytearray(memoryview(buffer)[start:])
                else:
                    del buffer[:start]  # moves no bytes: a bytearray keeps an offset
                self._inbox = buffer
                self._scanned = scanned - start
            elif self._inbox:
                self._inbox = b""
                self._scanned = 0

    def end_input(self) -> None:
        """No more bytes will come. Delivers what that completes, now or once nothing blocks it."""
        if self.input is not _OPEN:
            return
        self.input = _ENDED
        if (
            self._first is None
            or self._expected is not None
            or self._inbox
            or self._request_size
            or self.blocked
            or self._completed_by_eof(self._first[0])
        ):
            self._feed(b"", 0, MESSAGES_PER_DELIVERY)
        else:  # between requests, as most inputs end
            self.input = _OVER
            self.handle_eof()

    def _completed_by_eof(self, framing: Framing) -> bool:
        """Whether EOF right after the last request is a message, or somebody waits to be told of it."""
        return framing.locate_at_eof(b"", 0) is not None

    def handle_eof(self) -> None:
        """Called once when the peer has ended its input and all that it sent has been delivered.

        A machine that then holds nothing and owes nothing is done. One that is to live on, to
        answer when somebody else has answered it, calls `hold` here, and `release` when done.
        """

    def _keep(self, data: bytes) -> bytearray:
        """Take *data* in without delivering anything."""
        inbox = self._inbox
        if type(inbox) is bytearray:
            inbox += data
        else:
            inbox = self._inbox = bytearray(data)
        return inbox

    def _drop_input(self) -> None:
        """Forget the inbox and expect no more bytes: what came makes no sense."""
        self._inbox = b""
        self._scanned = self._request_size = 0
        self._expected = None
        self.input = _DROPPED

    # Inside

    def _failed(self, exc: BaseException) -> None:
        """A state has raised, or what came is no message: after that nothing more is taken in."""
        if isinstance(exc, FramingError):
            self._drop_input()
        else:
            self._expected = None
            self._request_size = 0

    def _complete(self) -> None:
        """Count a request that was completed outside `feed`."""
        self.completed += 1
        self._request_size = 0

    def _locate_incomplete(self, framing: Framing, buffer: Buffer, start: int) -> Place:
        """What an incomplete message becomes: a place if EOF completes it, or an error if it is too large."""
        if self.input is not Input.OPEN:
            return self._locate_at_eof(framing, buffer, start)
        size = self._request_size + max(len(buffer) - start, framing.least)
        if size > self.max_request_size:
            raise self._too_large(size)
        return INCOMPLETE

    def _locate_at_eof(self, framing: Framing, buffer: Buffer, start: int) -> Place:
        """The message that EOF completes, if any, and after it the end."""
        if self.input is Input.ENDED:
            self.input = Input.LAST
            place = framing.locate_at_eof(buffer, start)
            if place is not None:
                return place
        self._at_end()
        return INCOMPLETE

    def _at_end(self) -> None:
        if self.input in (Input.ENDED, Input.LAST):
            self.input = Input.OVER
            self.handle_eof()

    def _too_large(self, size: int) -> FramingError:
        return FramingError(
            f"max_request_size of {self.max_request_size} bytes passed ({size} or more in one request)"
        )


def _check_expectation(framing: Framing, state: State) -> None:
    if not isinstance(framing, Framing):
        raise TypeError(f"expect(framing, state) takes a framing such as Line(), not {framing!r}")
    if not callable(state):
        raise TypeError(
            f"expect(framing, state) takes a state to enter, a method of one argument, not {state!r}"
        )
