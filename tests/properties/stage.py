"""One connection on a fake kernel, everything that can happen to it, and what has to be true of it then.

`Stage` has a method for each thing that can happen: what the peer does, what the kernel does, what other
code does, time. It keeps a plain model beside the row: which bytes were taken in and what they mean
(`naive.Conversation`), which bytes were written, who holds it, how long it has waited for what. `rest`
lets the loop come to rest and compares; `finish` ends it all and looks at what is left.

What has to end the row is noted in `reasons`, what may end it in `excuses`, and what may cost the peer bytes
that were written in `losses`: a row that goes on in spite of a reason is a failure, and so is one that ends
without an excuse.
"""

from __future__ import annotations

import errno
import logging
from typing import Any, NamedTuple
from unittest.mock import patch

from reactor import Limits, Reactor, connection, machine
from reactor.events import EVENT_READ, EVENT_WRITE
from reactor.framing import Exactly, Framing
from reactor.machine import Input
from reactor.table import TRANSITIONS, RequestState
from tests.properties import naive, streams
from tests.properties.kernel import FakeKernel, FakeSocket
from tests.support.clock import ManualClock
from tests.support.pairs import ManualExecutor, PairServer

#: The package's own sizes, made so small that a short test passes them.
RECEIVE_SIZE, LARGER_SIZE, JOIN_SIZE, MESSAGES, LINGER_BYTES = 64, 96, 100, 8, 200

LIMITS = Limits(
    max_request_size=80,
    send_buffer_limit=300,
    request_timeout=10,
    idle_timeout=60,
    send_timeout=30,
    handshake_timeout=10,
    linger_timeout=4,
)
#: Seconds between sweeps with these limits.
SWEEP = 1.0

#: What a row waits for while the kernel refuses its bytes, whatever its state is.
OWED = "owed"

_TIMES = {
    RequestState.HANDSHAKE: LIMITS.handshake_timeout,
    RequestState.IDLE: LIMITS.idle_timeout,
    RequestState.READING: LIMITS.request_timeout,
    RequestState.CLOSING: LIMITS.linger_timeout,
    OWED: LIMITS.send_timeout,
}

_NOISE = bytes(range(256)) * 8


class Step(NamedTuple):
    """What a handler expects next, what it does with it, and whether that completes the request."""

    framing: Framing
    actions: tuple[tuple[str, int], ...] = ()
    ends: bool = True


class Stopped(Exception):
    """What a handler raises where its script says so."""


class Stage:
    """*handler_class*: one of `performers`. *steps*: what it goes through, over and over. *opening*: what it
    does first. *broken*: hooks that raise."""

    def __init__(
        self,
        handler_class: Any,
        steps: list[Step],
        opening: tuple[tuple[str, int], ...] = (),
        broken: frozenset[str] = frozenset(),
    ) -> None:
        self.steps, self.opening, self.broken = steps, opening, broken
        self.step = 0
        writes = [
            sum(n for what, n in each if what == "write") for each in (opening, *(s.actions for s in steps))
        ]
        self._most_written = max(writes)
        self.model = naive.Conversation(LIMITS.max_request_size)
        self.fresh = False  # its own code has written since it last read
        self.full = False  # more is owed than `send_buffer_limit`
        self.perhaps_full = False  # or was at some time since it last owed nothing
        self.written = bytearray()
        self.checked = 0  # bytes of `written` that have been compared
        self.output_ended = False
        self.held_by: str | None = None
        self.paused = False
        self.reasons: list[str] = []
        self.excuses: list[str] = []
        self.losses: list[str] = []
        self.states = [RequestState.HANDSHAKE]
        self.waited: dict[Any, float] = {**dict.fromkeys(RequestState, 0.0), OWED: 0.0}
        self.opened = self.closings = self.finished = self.raised = self.completed = 0
        self.problems: list[str] = []
        self.clock = ManualClock()
        self.entered_at = self.clock()
        self.kernel = FakeKernel(self.clock)
        self.executor = ManualExecutor()
        self.log = _ErrorLog()
        self._patches = [
            patch.object(connection, "RECEIVE_SIZE", RECEIVE_SIZE),
            patch.object(connection, "LARGER_SIZES", {RECEIVE_SIZE: LARGER_SIZE}),
            patch.object(connection, "JOIN_SIZE", JOIN_SIZE),
            patch.object(connection, "LINGER_BYTES", LINGER_BYTES),
            patch.object(machine, "MESSAGES_PER_DELIVERY", MESSAGES),
        ]
        for each in self._patches:
            each.start()
        logging.getLogger("reactor").addHandler(self.log)
        self.reactor = Reactor(self.kernel, clock=self.clock, executor=self.executor)
        self.socket = _TappedSocket(self)
        self.kernel.sockets.append(self.socket)
        self.server = PairServer(handler_class, self.reactor, LIMITS)
        handler_class.stage = self
        self.server.process_request(self.socket, ("192.0.2.1", 5000))
        (self.handler,) = self.server.handlers

    # What the peer and the kernel do

    def arrive(self, data: bytes) -> None:
        """The peer sends."""
        if not self.socket.ended:
            self.socket.incoming += data

    def speak_slowly(self, payloads: list[bytes], size: int, seconds: float) -> None:
        """The peer sends messages *size* bytes at a time: the end of one with half of the next."""
        steps = [self.expected(later) for later in range(len(payloads))]
        sent = b"".join(
            streams.fitting(step.framing, each) for step, each in zip(steps, payloads, strict=True)
        )
        for place in range(0, min(len(sent), 20 * size), size):
            self.arrive(sent[place : place + size])
            self.advance(seconds)

    def end(self) -> None:
        """The peer sends EOF."""
        self.socket.ended = True

    def vanish(self, number: int = errno.ECONNRESET) -> None:
        """The peer is gone; every call says so from now on."""
        self.socket.gone = number
        self.excuse("gone", loss=True)

    def make_room(self, size: int) -> None:
        """The peer's buffer has room for so many bytes, no more and no fewer."""
        self.socket.room = size

    def stutter(self, kind: type[OSError]) -> None:
        """The next call of the socket has nothing to say for itself."""
        self.socket.stutters.append(kind)

    def lie(self, events: int) -> None:
        """The selector reports *events*, whatever is true."""
        self.kernel.lies[self.socket.number] = events

    def advance(self, seconds: float) -> None:
        """Time passes, while nothing else happens."""
        self.clock.advance(seconds)
        wait = self._wait()
        self.waited[wait] += seconds
        limit = _TIMES.get(wait)
        if limit is not None and self.waited[wait] >= limit:
            self.excuse("time", loss=wait is OWED)
        self.turn()

    def take_slowly(self, size: int, times: int, seconds: float) -> None:
        """The peer takes *size* bytes, then nothing for *seconds*, and again."""
        for _ in range(times):
            self.make_room(size)
            self.rest()
            self.make_room(0)
            self.advance(seconds)

    # What other code does

    def write(self, size: int) -> None:
        """Write to it from outside, or in its own delivery."""
        data = _NOISE[len(self.written) % 251 :][:size]
        if self.closing:
            self.handler.write(data)
            return
        own = self.handler._batch is not None
        if own and self.handler.own_backlog is not None:
            owed = len(self.written) + size - len(self.socket.taken)
            if owed > self.handler.own_backlog * LIMITS.send_buffer_limit:
                self.excuse("backlog", loss=True)
        if self.output_ended:
            try:
                self.handler.write(data)
            except RuntimeError:
                return
            self.problems.append("write() after write_eof() was taken")
            return
        self.written += data
        self.fresh = self.fresh or (own and size > 0)
        self.handler.write(data)
        if len(self.written) - len(self.socket.taken) > LIMITS.send_buffer_limit:
            self.perhaps_full = True
        if not own:
            self.waited[RequestState.IDLE] = 0.0
            if len(self.written) - len(self.socket.taken) > LIMITS.send_buffer_limit:
                self.end_for("send_buffer_limit", loss=True)

    def write_eof(self) -> None:
        if not self.closing:
            self.output_ended = True
        self.handler.write_eof()

    def hold(self) -> None:
        if self.held_by is None and not self.closing:
            self.held_by = "hold"
            self.handler.hold()

    def release(self) -> None:
        if self.held_by == "hold":
            self.held_by = None
            self.handler.release()

    def pause(self) -> None:
        self.paused = True
        self.handler.pause_reading()

    def resume(self) -> None:
        self.paused = False
        self.handler.resume_reading()

    def close(self) -> None:
        self.end_for("close")
        self.handler.close()

    def abort(self) -> None:
        self.end_for("abort", loss=True)
        self.handler.abort()

    def work(self) -> None:
        """A worker finishes the oldest job."""
        if self.executor.jobs:
            self.executor.run_next()

    def turn(self) -> int:
        """The loop takes one turn."""
        ready = self.reactor.handle_events(0)
        self.check()
        return ready

    # What the performers tell

    def end_for(self, reason: str, loss: bool = False) -> None:
        """Note a reason for which the row has to end."""
        self.reasons.append(reason)
        self.excuse(reason, loss)

    def excuse(self, reason: str, loss: bool = False) -> None:
        """Note a reason for which it may end."""
        self.excuses.append(reason)
        if loss:
            self.losses.append(reason)

    def entered(self, state: RequestState) -> None:
        self.states.append(state)
        self.entered_at = self.clock()
        if state is RequestState.IDLE:
            self.waited[RequestState.READING] = 0.0
        if state is not RequestState.READING:
            self.waited[state] = 0.0
        if state in (RequestState.WRITING, RequestState.CLOSING):
            self.waited[OWED] = 0.0

    def expected(self, later: int = 0) -> Step:
        """The step that the handler is at, or so many *later*."""
        return self.steps[(self.step + later) % len(self.steps)]

    def took(self, message: bytes) -> Step:
        """The handler was given *message*; what is it to do?"""
        if self.closing:
            self.problems.append(f"{message!r} was delivered to a closing connection")
        if self.held_by is not None or self.paused:
            self.problems.append(f"{message!r} was delivered while held or paused")
        step = self.expected()
        self.model.took(step.framing, message)
        self.step += 1
        return step

    def begins_anew(self, step: Step) -> bool:
        """Whether the request ends with *step*."""
        return step.ends and self.expected().framing != Exactly(0)

    def refused(self) -> None:
        """The handler was told that what came is no message."""
        model = self.model
        answer = model.next(self.expected().framing)
        rest = model.eof and model.request + len(model.data) > LIMITS.max_request_size
        if not isinstance(answer, naive.Refused) and not rest:
            self.problems.append(f"refused, but it is {answer}")
        self.end_for("refused")

    def read(self, data: bytes) -> None:
        """The handler's connection has received *data*."""
        if self.handler.state is RequestState.CLOSING or self.handler.input is Input.DROPPED:
            return
        self.model.data += data
        if not data:
            self.model.eof = True
            self.excuse("input ended")
        self.waited[RequestState.IDLE] = 0.0

    def sent(self, size: int) -> None:
        if size:
            self.waited[OWED] = 0.0

    # What has to be true

    @property
    def closing(self) -> bool:
        return self.handler.state in (RequestState.CLOSING, RequestState.CLOSED)

    def _wait(self) -> Any:
        """What the row waits for, as its timeouts see it."""
        state = self.handler.state
        return OWED if self.handler.owed and state is not RequestState.CLOSED else state

    def check(self) -> None:
        """What is true after every turn, and between."""
        handler, sock = self.handler, self.socket
        assert not self.problems, self.problems
        for before, after in zip(self.states, self.states[1:], strict=False):
            assert after in TRANSITIONS[before], f"{before} to {after}"
        assert handler.state is self.states[-1]
        taken = len(sock.taken)
        assert sock.taken[self.checked :] == self.written[self.checked : taken], (
            "other bytes than were written"
        )
        self.checked = taken
        assert handler.sent == taken
        assert not self.log.lines, self.log.lines
        assert len(self.server.errors) == self.raised, self.server.errors
        assert self.closings <= 1
        kept = len(handler._inbox)
        assert kept <= LIMITS.max_request_size + 3 * LARGER_SIZE, f"{kept} bytes kept"
        assert not self.closing or self.excuses, "it ended without a reason"
        owed = handler.owed
        waiting = len(handler._outbox or b"")
        assert waiting <= LIMITS.send_buffer_limit + JOIN_SIZE + self._most_written, f"{waiting} bytes wait"
        self.full = owed > LIMITS.send_buffer_limit
        self.perhaps_full = self.perhaps_full and owed > 0
        if not owed:
            self.waited[OWED] = 0.0
        if handler.completed != self.completed:
            self.completed = handler.completed
            self.waited[RequestState.READING] = self.waited[RequestState.IDLE] = 0.0
        limit = _TIMES.get(self._wait())
        if limit is not None:
            waited = self.waited[self._wait()]
            late = waited >= limit + SWEEP and self.clock() - self.entered_at >= SWEEP
            assert not late, f"{self._wait()} for {waited} s"

    def rest(self) -> None:
        """Let the loop come to rest, then compare it with the model."""
        quiet = 0
        for _ in range(200 + len(self.socket.incoming)):
            due = self.reactor._timers.next_time() or self.clock() + 1
            busy = self.turn() or self.reactor._soon or self.reactor._ended or due <= self.clock()
            quiet = 0 if busy else quiet + 1
            if quiet == 2:
                break
        else:
            raise AssertionError(f"the loop never comes to rest: {self.handler!r}, {self.handler.blocked}")
        if self.handler.state is RequestState.CLOSED:
            self._check_ended()
        elif self.handler.state is RequestState.CLOSING:
            assert self.closings == 0
            assert self.kernel.mask(self.socket) == (EVENT_WRITE if self.handler.owed else EVENT_READ)
            assert self.handler._discarded < LINGER_BYTES, "it reads for ever"
        else:
            self._check_open()

    def _check_ended(self) -> None:
        handler = self.handler
        assert self.closings == 1
        assert self.finished == (self.opened and "setup" not in self.broken)
        assert self.server.ended == [self.socket]
        assert handler not in self.reactor.requests
        assert not self.kernel.mask(self.socket)
        if not self.losses:
            assert self.socket.taken == self.written, "what was written did not arrive"

    def _check_open(self) -> None:
        handler, sock = self.handler, self.socket
        assert not self.reasons, f"it goes on in spite of {self.reasons}"
        owed = len(self.written) - len(sock.taken)
        assert handler.owed == owed
        assert owed == 0 or sock.room <= 0, "it does not send"
        state = handler.state
        held = self.held_by is not None or self.paused
        if owed:
            assert state is RequestState.WRITING
        elif held:
            assert state is RequestState.HANDLING
        elif self.model.open or self.model.data:
            assert state is RequestState.READING
        else:
            assert state is RequestState.IDLE
        watched = self.kernel.mask(sock)
        assert bool(watched & EVENT_WRITE) == bool(owed)
        if self.model.eof:
            assert not watched & EVENT_READ, "EOF would be reported for ever"
            assert held or owed, "nothing keeps it"
        elif self.full:
            assert not watched & EVENT_READ, "more would be read than it can answer"
        elif not held and not self.perhaps_full:
            assert watched & EVENT_READ, "nobody would notice the peer"
        if not held and not self.full and not self.perhaps_full:
            answer = self.model.next(self.expected().framing)
            assert isinstance(answer, naive.Incomplete), f"{answer} is not delivered"
            assert not self.model.eof or owed
        if self.output_ended and not owed:
            assert sock.shut or sock.gone, "the peer does not see the end of the output"

    def finish(self) -> None:
        """Everything comes to its end: everybody lets go, the peer is silent, time passes."""
        self.check()
        self.rest()
        # A message of one byte may be answered after three waits.
        for _ in range(100 + 4 * (len(self.socket.incoming) + len(self.handler._inbox))):
            self.resume()
            self.release()
            self.work()
            self.rest()
            if self.handler.state is RequestState.CLOSED:
                break
            self.advance(5.0)
        else:
            raise AssertionError(f"it never ends: {self.handler!r}")
        assert not len(self.reactor.requests)
        counters = self.reactor.requests.counters
        assert counters.accepted == 1
        assert counters.bytes_out == len(self.socket.taken)

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, kind: Any, exc: Any, trace: Any) -> None:
        """Come to the end, if nothing has failed before."""
        try:
            if kind is None:
                self.finish()
        finally:
            self.leave()

    def leave(self) -> None:
        """Give back what it took, whatever has happened."""
        logging.getLogger("reactor").removeHandler(self.log)
        for each in self._patches:
            each.stop()
        self.reactor.close()


class _TappedSocket(FakeSocket):
    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.stage = stage

    def recv(self, size: int) -> bytes:
        data = super().recv(size)
        self.stage.read(data)
        return data

    def send(self, data: bytes | bytearray) -> int:
        size = super().send(data)
        self.stage.sent(size)
        return size


class _ErrorLog(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
