"""Proves that beneath the files of a blocking handler sizes and times are kept to the byte and the second,
and that nothing else about the files is changed."""

from __future__ import annotations

import array
import errno
import gc
import io
import itertools
import logging
import math
import re
import socket
import threading
import weakref
from contextlib import nullcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

import reactor.limited
import reactor.net
from reactor import BaseRequestHandler, BaseServer, Limits, StreamRequestHandler
from reactor.limits import LimitExceeded, TimeLimitExceeded
from tests.support.clock import ManualClock
from tests.support.servers import Thread

PEER = ("192.0.2.1", 5000)
NO_LIMITS = Limits(max_request_size=None, request_timeout=None, idle_timeout=None, send_timeout=None)
TIMES = Limits(max_request_size=None, request_timeout=10, idle_timeout=300, send_timeout=30)
BUFFERS = (-1, 0, 1, 7, 8192)


class FakeSocket:
    """A socket that keeps to a script and whose waits take the clock forward.

    *incoming*: bytes, each piece one arrival, or a pair of the seconds before it and the bytes;
    after the last comes EOF. *taking*: the same of what the peer takes, in numbers of bytes; after
    the last it takes everything. An exception in place of bytes or number is raised. `meanwhile`
    is called in the next wait or operation. `set`: the timeouts it was given.
    """

    family = socket.AF_INET
    makefile = socket.socket.makefile

    def __init__(self, clock, incoming=(), taking=()):
        self.clock = clock
        self.incoming = [piece if isinstance(piece, tuple) else (0, piece) for piece in incoming]
        self.taking = [piece if isinstance(piece, tuple) else (0, piece) for piece in taking]
        self.sent = b""
        self.timeout = None
        self.set = []
        self.meanwhile = None
        self._io_refs = 0

    def gettimeout(self):
        return self.timeout

    def settimeout(self, value):
        with socket.socket() as real:
            real.settimeout(value)  # raises for what is no timeout
            self.timeout = real.gettimeout()  # and rounds
        self.set.append(value)

    def fileno(self):
        return 4711

    def _decref_socketios(self):
        self._io_refs -= 1

    def is_ready(self, timeout, *, writing):
        """What `reactor.net.is_ready` says of it, after as long."""
        script = self.taking if writing else self.incoming
        self._let_others()
        return not script or self._pass_time(script, timeout)

    def _let_others(self):
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()

    def _pass_time(self, script, timeout):
        delay, piece = script[0]
        passed = delay if timeout is None else min(delay, timeout)
        self.clock.advance(passed)
        script[0] = (delay - passed, piece)
        return timeout is None or delay == 0 or delay < timeout

    def _operate(self, script):
        self._let_others()
        if not self._pass_time(script, self.timeout):
            raise (
                BlockingIOError(errno.EAGAIN, "not ready") if self.timeout == 0 else TimeoutError("timed out")
            )
        piece = script[0][1]
        if isinstance(piece, BaseException):
            raise piece
        return piece

    def recv_into(self, buffer):
        if not self.incoming:
            return 0
        piece = self._operate(self.incoming)
        with memoryview(buffer) as view, view.cast("B") as room:
            count = min(len(room), len(piece))
            room[:count] = piece[:count]
        self.incoming[0] = (0, piece[count:])
        if not self.incoming[0][1]:
            del self.incoming[0]
        return count

    def send(self, data, flags=0):
        """Some of it; without a timeout or a flag all of it, as the system does."""
        count = 0
        while self.taking and count < len(data):
            count += min(len(data) - count, self._operate(self.taking))
            del self.taking[0]
            if self.timeout is not None or flags:
                break
        else:
            count = len(data)
        self.sent += bytes(data[:count])
        return count

    def sendall(self, data):
        """The plain file's."""
        with memoryview(data) as view, view.cast("B") as left:
            while left:
                left = left[self.send(left) :]


def is_ready(sock, timeout, *, writing):
    if isinstance(sock, FakeSocket):
        return sock.is_ready(timeout, writing=writing)
    return reactor.net.is_ready(sock, timeout, writing=writing)


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    clock = ManualClock()
    monkeypatch.setattr(reactor.limited, "monotonic", clock)
    monkeypatch.setattr(reactor.limited, "is_ready", is_ready)
    return clock


@pytest.fixture
def lines(caplog):
    """A function that gives the lines logged so far."""
    caplog.set_level(logging.DEBUG, "reactor")
    return lambda: [record.getMessage() for record in caplog.records]


def handled(sock, limits, handle, **attributes):
    """Have a handler with *attributes* on its class run ``handle(handler)``, as a server does; give
    what that returned."""
    results = []
    attributes["handle"] = lambda self: results.append(handle(self))
    serve(sock, limits, type("Handler", (StreamRequestHandler,), attributes))
    return results[0]


def serve(request, limits, handler_class):
    """What a server does with a request, without what it is served by."""
    server = BaseServer(None, handler_class)
    server.limits = limits
    server.finish_request(request, PEER)


# The same files


def plain_text():
    return st.binary(max_size=40) | st.sampled_from([b"\n", b"a\n", b"\n\n", b"ab", b"line one\nline two\n"])


READS = st.one_of(
    st.tuples(st.just("readline"), st.sampled_from([-1, 0, 1, 5, 100])),
    st.tuples(st.just("read"), st.sampled_from([0, 1, 3, 20, 100])),
    st.tuples(st.just("read1"), st.sampled_from([-1, 0, 1, 7, 100])),
    st.tuples(st.just("peek"), st.sampled_from([0, 1, 10])),
    st.tuples(st.just("readinto"), st.sampled_from([0, 1, 9, 100])),
    st.tuples(st.just("readinto1"), st.sampled_from([1, 9])),
    st.tuples(st.just("next"), st.just(0)),
    st.tuples(st.just("readlines"), st.sampled_from([1, 10])),
)


def read(file, operation, n):
    if operation == "next":
        return next(file, "no more")
    if not hasattr(file, operation):
        return "none such"
    if operation.startswith("readinto"):
        buffer = bytearray(n)
        count = getattr(file, operation)(buffer)
        return count, bytes(buffer)
    return getattr(file, operation)(n)


@given(
    st.lists(plain_text().filter(len), max_size=8),
    st.lists(READS, max_size=12),
    st.sampled_from(BUFFERS),
    st.sampled_from([Limits(), TIMES, NO_LIMITS]),
    st.sampled_from([b"", b"reply"]),
)
def test_whatever_is_read_comes_as_from_the_plain_file(pieces, reads, rbufsize, limits, reply):
    def handle(handler):
        results = []
        for operation, n in reads:
            results.append(read(handler.rfile, operation, n))
            handler.wfile.write(reply)
        return [*results, handler.rfile.read(), handler.rfile.read(), handler.rfile.readline()]

    results = []
    for each in (None, limits):
        sock = FakeSocket(ManualClock(), pieces)
        results.append((handled(sock, each, handle, rbufsize=rbufsize), sock.sent, sock._io_refs))
    assert results[1] == results[0]


ODD_DATA = {
    "bytes": b"abc",
    "empty": b"",
    "bytearray": bytearray(b"abc"),
    "array": array.array("I", [1, 2, 3]),
    "empty array": array.array("I"),
    "view": memoryview(array.array("H", range(8)))[2:5],
    "square": memoryview(bytes(range(12))).cast("B", (3, 4)),
    "doubles": memoryview(array.array("d", [1.5, 2.5])),
}


@pytest.mark.parametrize("wbufsize", [0, -1, 1, 7, 8192])
@pytest.mark.parametrize("data", [pytest.param(data, id=name) for name, data in ODD_DATA.items()])
def test_whatever_is_written_goes_out_as_from_the_plain_file(wbufsize, data):
    def handle(handler):
        count = handler.wfile.write(data)
        handler.wfile.flush()
        return count

    results = []
    for limits in (None, TIMES):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            count = handled(ours, limits, handle, wbufsize=wbufsize)
            ours.close()
            results.append((count, theirs.makefile("rb").read()))
    assert results[1] == results[0]
    assert results[1] == (memoryview(data).nbytes, bytes(data))


@pytest.mark.parametrize(
    ("data", "wbufsize"),
    [
        ("text", 0),
        ("text", -1),
        (None, 0),
        (None, -1),
        (5, 0),
        (5, -1),
        pytest.param(memoryview(b"abcdef")[::2], 0, id="gaps-0"),
        pytest.param(memoryview(b"abcdef")[::2], -1, id="gaps--1"),
    ],
)
def test_what_can_not_be_written_is_the_same_error(wbufsize, data):
    def handle(handler):
        with pytest.raises(Exception) as caught:
            handler.wfile.write(data)
        return caught.type

    raised = []
    for limits in (None, TIMES):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            raised.append(handled(ours, limits, handle, wbufsize=wbufsize))
    assert raised[1] is raised[0]


@pytest.mark.parametrize("rbufsize", BUFFERS)
@pytest.mark.parametrize("wbufsize", [0, -1])
def test_the_files_say_of_themselves_what_plain_ones_say(rbufsize, wbufsize):
    names = ("readable", "writable", "seekable", "isatty", "fileno", "name", "mode", "closed")

    def told(file):
        answers = {}
        for name in names:
            answer = getattr(file, name, "no such")
            answers[name] = answer() if callable(answer) else answer
        return answers

    ours, theirs = socket.socketpair()
    with ours, theirs:
        answers = [
            handled(
                ours, limits, lambda h: (told(h.rfile), told(h.wfile)), rbufsize=rbufsize, wbufsize=wbufsize
            )
            for limits in (None, TIMES)
        ]
    assert answers[1] == answers[0]


@pytest.mark.parametrize("operation", ["tell", "seek", "truncate"])
def test_there_is_no_place_to_go_to_in_the_files_as_in_plain_ones(operation):
    def handle(handler):
        for file in (handler.rfile, handler.wfile):
            with pytest.raises(io.UnsupportedOperation):
                getattr(file, operation)(*[0] * (operation != "tell"))

    for limits in (None, TIMES):
        handled(FakeSocket(ManualClock(), [b"text"]), limits, handle, wbufsize=-1)


def test_without_limits_the_files_are_the_plain_ones():
    ours, theirs = socket.socketpair()
    with ours, theirs:

        def handle(handler):
            assert type(handler.rfile) is io.BufferedReader
            assert type(handler.rfile.raw) is socket.SocketIO
            assert handler.wfile._sock is ours
            assert ours.gettimeout() is None

        handled(ours, None, handle)


@pytest.mark.parametrize("rbufsize", BUFFERS)
@pytest.mark.parametrize("wbufsize", [0, -1])
def test_the_files_are_closed_with_the_handler_and_the_socket_with_them(rbufsize, wbufsize):
    ours, theirs = socket.socketpair()
    files = []
    with theirs:
        handled(ours, TIMES, lambda h: files.extend((h.rfile, h.wfile)), rbufsize=rbufsize, wbufsize=wbufsize)
        assert [file.closed for file in files] == [True, True]
        ours.close()
        assert theirs.recv(1) == b"", "something still holds the descriptor"
        for file in files:
            file.close()  # once more is nothing


@pytest.mark.parametrize("rbufsize", BUFFERS)
@pytest.mark.parametrize("wbufsize", [0, -1])
def test_a_handler_may_close_its_rfile_and_write_on(rbufsize, wbufsize):
    sock = FakeSocket(ManualClock(), [b"one\ntwo\n"])

    def handle(handler):
        assert handler.rfile.readline() == b"one\n"
        handler.rfile.close()
        with pytest.raises(ValueError, match="closed"):
            handler.rfile.read(1)
        handler.wfile.write(b"goodbye")

    handled(sock, Limits(), handle, rbufsize=rbufsize, wbufsize=wbufsize)
    assert (sock.sent, sock._io_refs) == (b"goodbye", 0)


def test_a_handler_may_detach_its_rfile_and_write_on():
    sock = FakeSocket(ManualClock(), [b"one\n"])

    def handle(handler):
        detached = handler.rfile
        handler.rfile = io.BufferedReader(detached.detach())
        assert handler.rfile.readline() == b"one\n"
        handler.wfile.write(b"goodbye")
        return detached  # it lives on

    handled(sock, Limits(), handle)
    assert sock.sent == b"goodbye"


def test_a_wfile_that_was_detached_and_closed_takes_nothing_more():
    def handle(handler):
        handler.wfile = handler.wfile.detach()
        handler.wfile.close()
        with pytest.raises(ValueError, match="closed"):
            handler.wfile.write(b"x")

    for limits in (None, TIMES):
        sock = FakeSocket(ManualClock())
        handled(sock, limits, handle, wbufsize=-1)
        assert sock.sent == b""


def test_a_text_file_can_be_put_around_rfile(clock):
    sock = FakeSocket(clock, [b"one\ntw", b"o\n"])

    def handle(handler):
        text = io.TextIOWrapper(handler.rfile, "ascii")
        found = list(text)
        handler.wfile.write(b"x")
        text.detach()
        return found

    assert handled(sock, Limits(), handle) == ["one\n", "two\n"]


def test_the_files_of_an_ended_handler_are_freed_without_the_collector():
    """As the plain ones are: a descriptor must not wait for the collector if nobody closes `rfile`."""
    ours, theirs = socket.socketpair()
    seen = []

    class Handler(StreamRequestHandler):
        def handle(self):
            seen.append(weakref.ref(self.rfile))

        def finish(self):
            pass  # a handler that forgets

    gc.disable()
    try:
        with ours, theirs:
            serve(ours, TIMES, Handler)
            assert seen[0]() is None
            ours.close()
            assert theirs.recv(1) == b""
    finally:
        gc.enable()
        if seen[0]() is not None:
            seen[0]().close()
        gc.collect()


# Sizes


LIMIT = 20


def take(file, n):
    """*n* bytes, also of a file that gives fewer at a time."""
    data = b""
    while len(data) < n:
        piece = file.read(n - len(data))
        if not piece:
            break
        data += piece
    return data


def split(data, cuts):
    ends = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    return [data[start:end] for start, end in itertools.pairwise(ends)]


@given(
    st.lists(st.integers(1, LIMIT) | st.just(LIMIT), min_size=1, max_size=8),
    st.sets(st.integers(1, 8 * LIMIT)),
    st.sampled_from(BUFFERS),
    st.sampled_from([0, 5, -1]),
)
def test_requests_up_to_the_limit_pass_however_they_come_and_are_followed(sizes, cuts, rbufsize, wbufsize):
    requests = [bytes([number]) * size for number, size in enumerate(sizes)]
    sock = FakeSocket(ManualClock(), split(b"".join(requests), cuts))

    def handle(handler):
        for request in requests:
            assert take(handler.rfile, len(request)) == request
            handler.wfile.write(b".")
            handler.wfile.flush()
        assert handler.rfile.read(1) == b""

    handled(sock, Limits(max_request_size=LIMIT), handle, rbufsize=rbufsize, wbufsize=wbufsize)
    assert sock.sent == b"." * len(sizes)


@given(
    st.lists(st.integers(1, LIMIT), max_size=4),
    st.integers(1, 3 * LIMIT),
    st.sets(st.integers(1, 8 * LIMIT)),
    st.sampled_from(BUFFERS),
)
def test_one_byte_over_the_limit_is_refused_and_no_more_is_read(sizes, excess, cuts, rbufsize):
    requests = [b"x" * size for size in (*sizes, LIMIT + excess)]
    sock = FakeSocket(ManualClock(), split(b"".join(requests), cuts))

    def handle(handler):
        for request in requests[:-1]:
            take(handler.rfile, len(request))
            handler.wfile.write(b".")
        with pytest.raises(LimitExceeded, match=f"max_request_size: more than {LIMIT} bytes") as caught:
            take(handler.rfile, LIMIT + excess)
        assert not isinstance(caught.value, TimeoutError)

    handled(sock, Limits(max_request_size=LIMIT), handle, rbufsize=rbufsize)
    assert sum(len(piece) for _, piece in sock.incoming) == excess - 1
    assert len(sock.sent) == len(sizes)


@pytest.mark.parametrize("rbufsize", BUFFERS)
@pytest.mark.parametrize("ending", [b"", b"\n"])
def test_a_long_line_is_refused_and_one_that_just_fits_is_not(lines, rbufsize, ending):
    for size, passes in ((LIMIT, True), (LIMIT + 1, False)):
        sock = FakeSocket(ManualClock(), [b"x" * (size - len(ending)) + ending])

        def handle(handler, passes=passes, size=size):
            if passes:
                return len(handler.rfile.readline()) == size
            with pytest.raises(LimitExceeded):
                handler.rfile.readline()
            return True

        assert handled(sock, Limits(max_request_size=LIMIT), handle, rbufsize=rbufsize)
    assert lines() == [f"closing {PEER!r}: max_request_size: more than {LIMIT} bytes"]


@pytest.mark.parametrize("rbufsize", BUFFERS)
def test_each_turn_of_for_is_a_request_of_its_own(rbufsize):
    text = [b"x" * (LIMIT - 1) + b"\n"] * 10
    sock = FakeSocket(ManualClock(), [b"".join(text)])
    limits = Limits(max_request_size=LIMIT)
    assert handled(sock, limits, lambda h: [line for line in h.rfile], rbufsize=rbufsize) == text  # noqa: C416


def test_a_line_over_the_limit_ends_a_for_loop_too():
    sock = FakeSocket(ManualClock(), [b"short\n" * 10 + b"x" * (LIMIT + 1)])

    def handle(handler):
        found = []
        with pytest.raises(LimitExceeded):
            for line in handler.rfile:
                found.append(line)
        return found

    assert handled(sock, Limits(max_request_size=LIMIT), handle) == [b"short\n"] * 10


@pytest.mark.parametrize("everything", ["read", "readlines"])
@pytest.mark.parametrize("rbufsize", BUFFERS)
def test_all_that_is_read_at_once_is_one_request(rbufsize, everything):
    sock = FakeSocket(ManualClock(), [b"short\n" * 10])

    def handle(handler):
        with pytest.raises(LimitExceeded):
            getattr(handler.rfile, everything)()

    handled(sock, Limits(max_request_size=LIMIT), handle, rbufsize=rbufsize)


def test_what_is_read_without_an_answer_is_one_request():
    sock = FakeSocket(ManualClock(), [b"short\n"] * 10)

    def handle(handler):
        with pytest.raises(LimitExceeded):
            while handler.rfile.readline():
                pass

    handled(sock, Limits(max_request_size=LIMIT), handle)


@pytest.mark.parametrize("wbufsize", [0, 1, -1])
def test_what_is_read_after_an_answer_is_another_though_that_waits_in_a_buffer(wbufsize):
    sock = FakeSocket(ManualClock(), [b"short\n"] * 10)

    def handle(handler):
        while line := handler.rfile.readline():
            handler.wfile.write(line)

    handled(sock, Limits(max_request_size=LIMIT), handle, wbufsize=wbufsize)
    assert sock.sent == b"short\n" * 10


def test_a_buffer_of_wide_items_is_cut_at_bytes():
    sock = FakeSocket(ManualClock(), [b"x" * LIMIT + b"y" * LIMIT])

    def handle(handler):
        buffer = array.array("I", [0] * LIMIT)
        assert handler.rfile.readinto(buffer) == LIMIT
        assert buffer.tobytes()[: LIMIT + 1] == b"x" * LIMIT + b"\0"
        handler.wfile.write(b".")
        assert handler.rfile.readinto(buffer) == LIMIT

    handled(sock, Limits(max_request_size=LIMIT), handle, rbufsize=0)


# Times


def test_a_peer_that_sends_nothing_passes_idle_timeout(clock, lines):
    sock = FakeSocket(clock, [(301, b"late\n")])
    start = clock()

    def handle(handler):
        with pytest.raises(TimeLimitExceeded, match="idle_timeout") as caught:
            handler.rfile.readline()
        assert isinstance(caught.value, TimeoutError) and isinstance(caught.value, LimitExceeded)

    handled(sock, TIMES, handle)
    assert clock() - start == 300
    text = "300 s passed waiting for a request (0 bytes received, 0 sent)"
    assert lines() == [f"closing {PEER!r}: idle_timeout: {text}"]


@pytest.mark.parametrize("rbufsize", BUFFERS)
def test_trickling_does_not_put_off_request_timeout(clock, lines, rbufsize):
    sock = FakeSocket(clock, [(100, b"x")] + [(0.75, b"x")] * 100)
    start = clock()

    def handle(handler):
        with pytest.raises(TimeLimitExceeded, match="request_timeout"):
            handler.rfile.readline()

    handled(sock, TIMES, handle, rbufsize=rbufsize)
    assert clock() - start == 110
    (line,) = lines()
    for text in (
        repr(PEER),
        "request_timeout",
        "10 s",
        "the rest of a request",
        "14 bytes received",
        "0 sent",
    ):
        assert text in line


def test_a_request_that_comes_just_in_time_passes_and_the_next_has_its_own_time(clock):
    sock = FakeSocket(clock, [(299, b"o"), (5, b"n"), (4.5, b"e\n"), (299, b"t"), (9.5, b"wo\n")])

    def handle(handler):
        found = []
        while line := handler.rfile.readline():
            found.append(line)
            handler.wfile.write(line)
        return found

    assert handled(sock, TIMES, handle) == [b"one\n", b"two\n"]


@pytest.mark.parametrize("rbufsize", BUFFERS)
def test_each_turn_of_for_has_its_own_time(clock, rbufsize):
    sock = FakeSocket(clock, [(299, b"o"), (9, b"ne\n"), (299, b"t"), (9, b"wo\n"), (299, b"x"), (9, b"\n")])
    assert handled(sock, TIMES, lambda h: len(list(h.rfile)), rbufsize=rbufsize) == 3


def test_what_was_read_ahead_has_begun_the_next_request(clock):
    sock = FakeSocket(clock, [b"one\nt", (11, b"wo\n")])

    def handle(handler):
        assert handler.rfile.readline() == b"one\n"
        handler.wfile.write(b".")
        with pytest.raises(TimeLimitExceeded, match="request_timeout"):
            handler.rfile.readline()

    handled(sock, TIMES, handle)


def test_the_parts_of_a_request_share_its_time_and_the_handlers_own_does_not_count(clock):
    sock = FakeSocket(clock, [b"head\n", (6, b"body\n"), (6, b"tail\n")])

    def handle(handler):
        assert handler.rfile.readline() == b"head\n"
        clock.advance(1000)
        assert handler.rfile.readline() == b"body\n"
        clock.advance(1000)
        start = clock()
        with pytest.raises(TimeLimitExceeded, match="request_timeout"):
            handler.rfile.readline()
        assert clock() - start == 4

    handled(sock, TIMES, handle)


def test_a_wait_that_ended_too_late_is_the_last(clock):
    """The machine stood still: what came is given, and there is less than no time left for the rest."""
    sock = FakeSocket(clock, [b"x", b"y", b"z"])

    def handle(handler):
        assert handler.rfile.read(1) == b"x"
        sock.meanwhile = lambda: clock.advance(20)
        assert handler.rfile.read(1) == b"y"
        with pytest.raises(TimeLimitExceeded, match="request_timeout"):
            handler.rfile.read(1)

    handled(sock, TIMES, handle, rbufsize=0)


@pytest.mark.parametrize(
    ("off", "shortest"),
    [
        (("idle_timeout",), "request_timeout"),
        (("request_timeout",), "send_timeout"),
        (("send_timeout",), "request_timeout"),
        (("idle_timeout", "request_timeout", "send_timeout"), None),
    ],
    ids=["idle", "request", "send", "all"],
)
def test_a_limit_that_is_off_waits_for_ever_whatever_the_others_are(clock, lines, off, shortest):
    waits = {"idle_timeout": 0, "request_timeout": 0, "send_timeout": 0} | dict.fromkeys(off, 10**5)
    script = [(waits["idle_timeout"], b"o"), (waits["request_timeout"], b"ne\n")]
    sock = FakeSocket(clock, script, [(waits["send_timeout"], 1)])
    limits = dict.fromkeys(waits, 20) | dict.fromkeys(off)
    if shortest is not None:
        limits[shortest] = 1

    def handle(handler):
        line = handler.rfile.readline()
        handler.wfile.write(b"x")
        return line

    assert handled(sock, Limits(**limits), handle) == b"one\n"
    assert (sock.sent, lines()) == (b"x", [])


def test_a_limit_of_a_third_of_a_second_is_no_timeout_of_the_handlers(clock):
    """Sockets count whole nanoseconds."""
    sock = FakeSocket(clock, [(299, b"x"), (1, b"\n")])
    start = clock()

    def handle(handler):
        with pytest.raises(TimeLimitExceeded, match="request_timeout"):
            handler.rfile.readline()

    handled(sock, Limits(idle_timeout=300, request_timeout=1 / 3), handle)
    assert clock() - start == pytest.approx(299 + 1 / 3)


@pytest.mark.parametrize("forever", [math.inf, 1e12])
def test_a_limit_without_end_is_a_limit_that_is_off(clock, forever):
    sock = FakeSocket(clock, [(100, b"o"), (1, b"ne\n")], [(100, 1)])

    def handle(handler):
        line = handler.rfile.readline()
        handler.wfile.write(line)
        return line

    limits = Limits(idle_timeout=forever, request_timeout=forever, send_timeout=forever)
    assert handled(sock, limits, handle) == b"one\n"


@pytest.mark.parametrize("wbufsize", [0, -1])
def test_a_peer_that_takes_nothing_passes_send_timeout_which_is_counted_since_the_last_byte(
    clock, lines, wbufsize
):
    sock = FakeSocket(clock, [b"request\n"], [(29, 1000), (29, 1), (29, 1000), (31, 1000)])
    start = clock()

    def handle(handler):
        handler.rfile.readline()
        with pytest.raises(TimeLimitExceeded, match="send_timeout"):
            handler.wfile.write(bytes(10_000))
            handler.wfile.flush()

    # `finish` tries once more to send what is left, in vain.
    with pytest.raises(TimeLimitExceeded) if wbufsize else nullcontext():
        handled(sock, TIMES, handle, wbufsize=wbufsize)
    assert clock() - start == 3 * 29 + 30
    (line,) = lines()
    for text in (repr(PEER), "send_timeout: 30 s", "8 bytes received", "2001 sent"):
        assert text in line


@pytest.mark.parametrize("name", ["idle_timeout", "request_timeout", "send_timeout", "max_request_size"])
def test_a_limit_that_was_passed_is_raised_anew_each_time_at_once_and_is_one_line(clock, lines, name):
    sock = FakeSocket(clock, [b"x"] * 100 if name != "idle_timeout" else [(1000, b"")], [(1000, 1)])
    limits = Limits(**{"max_request_size": 20, "idle_timeout": 300, name: 5})
    if name == "request_timeout":
        sock.incoming[1] = (1000, b"x")

    def handle(handler):
        operation = (lambda: handler.wfile.write(b"x")) if name == "send_timeout" else handler.rfile.readline
        raised = []
        for _ in range(3):
            start = clock()
            with pytest.raises(LimitExceeded, match=name) as caught:
                operation()
            assert clock() - start == (5 if name.endswith("timeout") and not raised else 0)
            raised.append(caught.value)
            clock.advance(1000)  # the throttle is not what keeps it to one line
        return raised

    raised = handled(sock, limits, handle)
    assert len({id(exc) for exc in raised}) == 3, "one exception raised again grows a traceback"
    assert len(lines()) == 1
    if name == "max_request_size":
        assert len(sock.incoming) == 100 - 5 - 3, "all that is over the limit is read"


def test_each_limit_that_a_connection_passes_is_a_line(clock, lines):
    sock = FakeSocket(clock, [(1000, b"")], [(1000, 1)])

    def handle(handler):
        for operation in (handler.rfile.readline, lambda: handler.wfile.write(b"x")):
            with pytest.raises(TimeLimitExceeded):
                operation()

    handled(sock, TIMES, handle)
    assert [re.search("[a-z]+_timeout", line)[0] for line in lines()] == ["idle_timeout", "send_timeout"]


def test_a_wait_for_the_rest_of_what_tls_needs_tells_true_figures(clock, lines):
    """The socket is ready, for part of a record has come; the operation goes on waiting."""
    sock = FakeSocket(clock, [(1000, b"late\n")])
    sock.is_ready = lambda timeout, writing: True
    start = clock()

    def handle(handler):
        with pytest.raises(TimeLimitExceeded):
            handler.rfile.readline()

    handled(sock, TIMES, handle)
    (line,) = lines()
    assert float(re.search(r"(\S+) s passed", line)[1]) == clock() - start


# The handler's own timeout


@pytest.mark.parametrize("own", [5, 10, 200, 300])
def test_the_handlers_own_timeout_holds_where_it_is_shorter_and_is_no_limit(clock, lines, own):
    """10 is the shortest of the limits, 300 the one that would end this wait."""
    sock = FakeSocket(clock, [(1000, b"late")])
    start = clock()

    def handle(handler):
        with pytest.raises(TimeoutError) as caught:
            handler.rfile.readline()
        return caught.type

    assert handled(sock, TIMES, handle, timeout=own) is TimeoutError
    assert (clock() - start, lines()) == (own, [])


@pytest.mark.parametrize("own", [5, 10, 29, 30])
def test_the_handlers_own_timeout_holds_for_writing_too(clock, lines, own):
    sock = FakeSocket(clock, [], [(1000, 1)])
    start = clock()

    def handle(handler):
        with pytest.raises(TimeoutError) as caught:
            handler.wfile.write(b"x")
        return caught.type

    assert handled(sock, TIMES, handle, timeout=own) is TimeoutError
    assert (clock() - start, lines()) == (own, [])


def test_the_handlers_own_timeout_is_for_all_of_a_write_as_with_sendall(clock):
    sock = FakeSocket(clock, [], [(3, 1)] * 10)
    start = clock()

    def handle(handler):
        with pytest.raises(TimeoutError):
            handler.wfile.write(bytes(10))

    handled(sock, TIMES, handle, timeout=5)
    assert clock() - start == 5


def test_the_handlers_own_timeout_ends_the_wait_for_the_rest_of_what_tls_needs(clock, lines):
    sock = FakeSocket(clock, [(1000, b"late")])
    sock.is_ready = lambda timeout, writing: True

    def handle(handler):
        with pytest.raises(TimeoutError) as caught:
            handler.rfile.readline()
        return caught.type

    assert handled(sock, TIMES, handle, timeout=5) is TimeoutError
    assert lines() == []


@pytest.mark.parametrize("seconds", [5, 7])
def test_a_write_whose_time_is_over_waits_no_more(clock, seconds):
    """The machine stood still for all of the handler's timeout, or longer."""
    sock = FakeSocket(clock, [], [1, (1000, 1)])
    start = clock()

    def handle(handler):
        sock.meanwhile = lambda: clock.advance(seconds)
        with pytest.raises(TimeoutError):
            handler.wfile.write(bytes(10))

    handled(sock, TIMES, handle, timeout=5)
    assert clock() - start == seconds


@pytest.mark.parametrize(("begun", "most"), [(False, 300), (True, 10)], ids=["idle", "begun"])
def test_who_tries_again_after_his_own_timeout_puts_off_no_limit(clock, begun, most):
    """The plain file, which gives nothing after a timeout, would end it at once."""
    sock = FakeSocket(clock, [b"x"] * begun + [(10**6, b"late\n")])
    start = clock()

    def handle(handler):
        for _ in range(1000):
            try:
                handler.rfile.readline()
            except LimitExceeded:
                break
            except TimeoutError:
                pass
            except OSError:  # as the plain file's
                break

    handled(sock, TIMES, handle, timeout=4)
    assert clock() - start <= most


@pytest.mark.parametrize("rbufsize", BUFFERS)
def test_after_the_handlers_own_timeout_nothing_is_read_as_from_the_plain_file(clock, rbufsize):
    """What had come of a request is lost with it."""

    def handle(handler):
        raised = []
        for _ in range(2):
            with pytest.raises(OSError) as caught:
                handler.rfile.readline()
            raised.append((caught.type, str(caught.value)))
        return raised

    script = [b"on", (1000, b"e\n")]
    results = [
        handled(FakeSocket(clock, script), limits, handle, timeout=4, rbufsize=rbufsize)
        for limits in (None, Limits(request_timeout=100))
    ]
    assert results[1] == results[0]


@pytest.mark.parametrize("own", [5, 200])
def test_settimeout_in_the_handler_holds_where_it_is_shorter(clock, own):
    sock = FakeSocket(clock, [(1000, b"late")])
    start = clock()

    def handle(handler):
        handler.connection.settimeout(own)
        with pytest.raises(TimeoutError) as caught:
            handler.rfile.readline()
        return caught.type

    assert handled(sock, TIMES, handle) is TimeoutError
    assert clock() - start == sock.gettimeout() == own


@pytest.mark.parametrize("own", [5, 9.5])
def test_a_timeout_that_the_server_gave_the_connection_holds_where_it_is_shorter(clock, own):
    """By `get_request`, or `socket.setdefaulttimeout`."""
    sock = FakeSocket(clock, [(1000, b"late")])
    sock.settimeout(own)
    start = clock()

    def handle(handler):
        with pytest.raises(TimeoutError):
            handler.rfile.readline()

    handled(sock, TIMES, handle)
    assert clock() - start == own


def test_a_longer_timeout_of_the_handler_changes_no_limit(clock, lines):
    sock = FakeSocket(clock, [(299, b"x"), (11, b"\n")])

    def handle(handler):
        with pytest.raises(TimeLimitExceeded, match="request_timeout"):
            handler.rfile.readline()

    handled(sock, TIMES, handle, timeout=1000)
    assert len(lines()) == 1


@pytest.mark.parametrize("own", [None, 5, 1000])
def test_the_files_leave_the_sockets_timeout_alone(clock, own):
    sock = FakeSocket(clock, [b"x", (3, b"y\n")], [(2, 1), 1])

    def handle(handler):
        sock.set.clear()
        handler.rfile.readline()
        handler.wfile.write(b"abc")
        return handler.connection.gettimeout(), sock.set

    assert handled(sock, TIMES, handle, timeout=own) == (10 if own is None else own, [])


@pytest.mark.parametrize("writes", [False, True])
def test_a_handler_that_takes_the_sockets_timeout_away_takes_no_limit_away(clock, writes):
    sock = FakeSocket(clock, [(1000, b"late\n")], [(1, 1000), (1000, 1000), (1000, 1000)])
    start = clock()

    def handle(handler):
        handler.connection.settimeout(None)
        with pytest.raises(TimeLimitExceeded):
            if writes:
                handler.wfile.write(bytes(3000))
                handler.wfile.flush()
            else:
                handler.rfile.readline()
        sock.taking.clear()

    with pytest.raises(TimeLimitExceeded) if writes else nullcontext():
        handled(sock, TIMES, handle, wbufsize=-1)
    assert clock() - start == (31 if writes else 300)


@pytest.mark.parametrize("own", [0, 0.0])
def test_a_socket_that_does_not_block_is_not_waited_for(clock, own):
    sock = FakeSocket(clock, [(1000, b"late\n")], [(1000, 1)])
    start = clock()

    def handle(handler):
        assert handler.rfile.read(10) is None
        with pytest.raises(BlockingIOError):
            handler.wfile.write(b"x")

    handled(sock, TIMES, handle, timeout=own)
    assert clock() == start


def test_a_handler_without_files_gets_the_shortest_limit_as_its_sockets_timeout(clock):
    found = []

    class Handler(BaseRequestHandler):
        def handle(self):
            found.append(self.request.gettimeout())

    for limits, own, expected in (
        (TIMES, None, 10),
        (TIMES, 5, 5),
        (TIMES, 0, 0),
        (TIMES, 50, 10),
        (Limits(request_timeout=None, idle_timeout=7), None, 7),
        (NO_LIMITS, None, None),
        (NO_LIMITS, 50, 50),
        (None, None, None),
    ):
        sock = FakeSocket(clock)
        sock.settimeout(own)
        serve(sock, limits, Handler)
        assert found.pop() == expected, (limits, own)


def test_a_datagram_is_left_alone(clock):
    sock = FakeSocket(clock)
    found = []

    class Handler(BaseRequestHandler):
        def handle(self):
            found.append(self.request)

    serve((b"datagram", sock), TIMES, Handler)
    assert found == [(b"datagram", sock)]
    assert sock.set == []


# Errors that are no limits


@pytest.mark.parametrize("limits", [TIMES, NO_LIMITS], ids=["limited", "off"])
@pytest.mark.parametrize(
    "number",
    [
        errno.ETIMEDOUT,
        errno.ECONNRESET,
        errno.EHOSTUNREACH,
    ],
)
def test_what_the_network_reports_is_not_taken_for_a_limit(clock, lines, limits, number):
    """ETIMEDOUT (keep-alive, no acknowledgement) is a `TimeoutError` too."""

    def handle(handler):
        for operation in (handler.rfile.readline, lambda: handler.wfile.write(b"x")):
            with pytest.raises(OSError) as caught:
                operation()
            assert not isinstance(caught.value, LimitExceeded)
            assert caught.value.errno == number

    handled(FakeSocket(clock, [OSError(number, "gone")], [OSError(number, "gone")]), limits, handle)
    assert lines() == []


# Two threads


@pytest.mark.parametrize("rbufsize", BUFFERS)
@pytest.mark.parametrize("wbufsize", [0, -1])
def test_another_thread_may_write_while_one_is_blocked_in_reading(clock, rbufsize, wbufsize):
    sock = FakeSocket(clock, [b"on", b"e\n"])

    def handle(handler):
        def write():
            handler.wfile.write(b"meanwhile")
            handler.wfile.flush()

        sock.meanwhile = lambda: Thread(write).finish()
        return handler.rfile.readline()

    assert handled(sock, Limits(), handle, rbufsize=rbufsize, wbufsize=wbufsize) == b"one\n"
    assert sock.sent == b"meanwhile"


def test_the_timeout_of_one_threads_wait_is_not_the_others(clock, lines):
    """A reader with one second left, and a writer whose peer takes its time."""
    sock = FakeSocket(clock, [b"x", (9, b"y"), b"z\n"], [(20, 1)])

    def handle(handler):
        reader = handler.rfile
        assert take(reader, 2) == b"xy"
        written = []
        sock.meanwhile = lambda: written.append(Thread(handler.wfile.write, b"m").finish())
        assert reader.read(1) == b"z"
        return written

    assert handled(sock, TIMES, handle, rbufsize=0) == [1]
    assert lines() == []


def test_threads_that_overlap_leave_the_sockets_timeout_as_it_was(clock):
    reading, written = threading.Event(), threading.Event()
    finished = threading.Event()

    class Overlapping(FakeSocket):
        """Reading begins before writing and ends before it."""

        def send(self, data, flags=0):
            reading.set()
            assert finished.wait(20)
            return super().send(data, flags)

    sock = Overlapping(clock, [b"one\n", b"two\n"])

    def handle(handler):
        def write():
            handler.wfile.write(b"x")
            written.set()

        writers = []

        def meanwhile():
            writers.append(Thread(write))
            assert reading.wait(20)

        before = sock.gettimeout()
        sock.set.clear()
        sock.meanwhile = meanwhile
        assert handler.rfile.readline() == b"one\n"
        finished.set()
        writers[0].finish()
        assert written.is_set()
        return before == sock.gettimeout() and not sock.set

    assert handled(sock, TIMES, handle)


@pytest.mark.parametrize(
    "limits",
    [Limits(), Limits(idle_timeout=None, request_timeout=None), Limits(send_timeout=None), NO_LIMITS],
    ids=["all", "sending", "receiving", "none"],
)
def test_reading_and_writing_at_the_same_time_corrupts_nothing(limits, monkeypatch):
    monkeypatch.undo()  # real sockets, real time
    ours, theirs = socket.socketpair()
    count = 3000
    text = [b"%06d %s\n" % (number, b"x" * (number % 200)) for number in range(count)]

    def handle(handler):
        def write():
            for line in text:
                handler.wfile.write(line)
            handler.connection.shutdown(socket.SHUT_WR)

        writer = Thread(write)
        received = [handler.rfile.readline() for _ in range(count)]
        writer.finish()
        return received

    def echo():
        while data := theirs.recv(1000):
            theirs.sendall(data)

    with ours, theirs:
        theirs.settimeout(20)
        peer = Thread(echo)
        assert handled(ours, limits, handle) == text
        peer.finish()
