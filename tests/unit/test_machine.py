"""Proves that a `StateMachine` delivers the same messages however bytes come, in bounded, linear work."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactor import machine as machine_module
from reactor.framing import (
    Available,
    Exactly,
    Framing,
    FramingError,
    LengthPrefixed,
    Line,
    Netstring,
    ToEOF,
    Until,
)
from reactor.machine import BUDGET, CLOSED, FULL, HELD, MESSAGES_PER_DELIVERY, PAUSED, StateMachine
from tests.support.machines import Recorder, cut, drive, every_split, places, resume


class Sized(StateMachine):
    """A length on a line, then that many bytes."""

    def __init__(self, max_request_size=None):
        super().__init__(max_request_size)
        self.log = []
        self.expect(Line(limit=20), self.length)

    def length(self, line):
        self.log.append(line)
        self.expect(Exactly(int(line)), self.body)

    def body(self, data):
        self.log.append(data)


class Talk(StateMachine):
    """Does what the first letter of a line says; what it understood is in `log`."""

    def __init__(self, max_request_size=None):
        super().__init__(max_request_size)
        self.log = []
        self.expect(Line(limit=40), self.command)

    def command(self, line):
        self.log.append(line)
        match line[:1]:
            case b"B":
                self.expect(Exactly(int(line[1:])), self.log.append)
            case b"H":
                self.hold()
            case b"J":
                self.hold()
                self.expect(Exactly(int(line[1:])), self.log.append)
            case b"R":
                self.hold()
                self.release()
            case b"U":
                self.expect(Until(b"\0", keepends=False), self.more)
            case b"N":
                self.begin_with(Netstring(60), self.note)

    def more(self, text):
        self.log.append(text)
        if text:
            self.expect(Until(b"\0", keepends=False), self.more)

    def note(self, text):
        self.log.append(text)
        if not text:
            self.begin_with(Line(limit=40), self.command)


_BODY = st.binary(max_size=40)
_WORD = st.text("abc", max_size=8).map(str.encode)
_NO_NUL = st.lists(_WORD.filter(bool), max_size=3)


def _note(text):
    return b"%d:%s," % (len(text), text)


#: One or more whole requests: their bytes, the messages in them, how many they are.
_REQUESTS = st.one_of(
    _WORD.map(lambda word: (b"P" + word + b"\n", [b"P" + word + b"\n"], 1)),
    _BODY.map(lambda body: (b"B%d\n" % len(body) + body, [b"B%d\n" % len(body), body], 1)),
    _BODY.map(lambda body: (b"J%d\n" % len(body) + body, [b"J%d\n" % len(body), body], 1)),
    st.just((b"H\n", [b"H\n"], 1)),
    st.just((b"R\n", [b"R\n"], 1)),
    _NO_NUL.map(
        lambda words: (b"U\n" + b"".join(w + b"\0" for w in [*words, b""]), [b"U\n", *words, b""], 1)
    ),
    _NO_NUL.map(
        lambda words: (b"N\n" + b"".join(map(_note, [*words, b""])), [b"N\n", *words, b""], len(words) + 2)
    ),
)
_CONVERSATIONS = st.lists(_REQUESTS, max_size=8)


def _goes_on(machine):
    """Release what is held, as if what it waited on had come, until nothing is left to do."""
    resume(machine)
    while machine.held:
        machine.release()
        machine.feed()
        resume(machine)


# Whatever the split


@given(_CONVERSATIONS, places, st.lists(st.booleans(), max_size=32))
def test_a_conversation_is_understood_however_it_is_split_and_whenever_it_is_released(
    requests, where, releases
):
    data = b"".join(request[0] for request in requests)
    machine = Talk()
    for number, piece in enumerate(cut(data, where)):
        machine.feed(piece)
        if number < len(releases) and releases[number]:
            _goes_on(machine)
    _goes_on(machine)
    assert machine.log == [message for request in requests for message in request[1]]
    assert machine.completed == sum(request[2] for request in requests)
    assert not machine.begun


@given(st.lists(_BODY, min_size=1, max_size=4), places, st.integers(1, 5))
def test_a_request_over_its_size_is_refused_at_the_same_place_however_it_is_split(bodies, where, spare):
    most = len(bodies[-1]) + spare  # near the figure that decides, which is 2 or 3 more than the body
    data = b"".join(b"%d\n%s" % (len(body), body) for body in bodies)
    split, whole = Sized(most), Sized(most)
    assert (drive(split, cut(data, where)), split.log) == (drive(whole, [data]), whole.log)


@pytest.mark.parametrize(
    ("most", "log", "error"), [(10, [b"8\n", b"12345678"], None), (9, [b"8\n"], FramingError)]
)
def test_max_request_size_counts_all_messages_of_one_request(most, log, error):
    for pieces in every_split(b"8\n12345678"):
        machine = Sized(most)
        assert drive(machine, pieces) is error, pieces
        assert machine.log == log, pieces


def test_max_request_size_adds_up_however_many_the_messages():
    for pieces in every_split(b"U\nab\0cd\0ef\0gh\0"):
        machine = Talk(10)
        assert drive(machine, pieces) is FramingError, pieces
        assert machine.log[:3] == [b"U\n", b"ab", b"cd"] and b"gh" not in machine.log, pieces


@pytest.mark.parametrize(("line", "error"), [(b"012345678\n", None), (b"0123456789\n", FramingError)])
def test_max_request_size_holds_for_a_request_of_one_message_complete_or_not(line, error):
    for pieces in every_split(line):
        machine = Recorder(Line(limit=1000), 10)
        assert drive(machine, pieces) is error, pieces
        assert machine.messages == ([] if error else [line]), pieces


def test_max_request_size_never_counts_a_conversation():
    machine = Sized(10)
    assert drive(machine, [b"8\n12345678" * 100]) is None
    assert machine.completed == 100


def test_a_request_that_is_announced_too_large_is_refused_before_it_is_kept():
    machine = Sized(1000)
    with pytest.raises(FramingError, match="max_request_size of 1000 bytes"):
        machine.feed(b"1001\n")


def test_an_unfinished_message_over_max_request_size_is_refused_though_its_framing_allows_it():
    machine = Recorder(Line(limit=1000), 10)
    machine.feed(b"0123456789")
    with pytest.raises(FramingError, match="max_request_size of 10 bytes"):
        machine.feed(b"0")


def test_an_unfinished_message_counts_together_with_those_of_its_request_before_it():
    machine = Talk(10)
    machine.feed(b"U\n12345678")
    with pytest.raises(FramingError, match="max_request_size of 10 bytes"):
        machine.feed(b"9")


@pytest.mark.parametrize("change", ["expect", "begin_with"])
@pytest.mark.parametrize("came", [b"", b"ab", b"ab;c", b"ab;c;d"])
def test_what_is_expected_may_change_while_a_message_is_half_there(change, came):
    """As from a timer: what came before is looked at again, with the new framing."""
    machine = Recorder(Line())
    machine.feed(came)
    log = []
    getattr(machine, change)(Until(b";"), log.append)
    machine.feed(b"ab;c;"[len(came) :])
    assert log[:1] == [b"ab;"]


# Requests


def test_a_state_that_expects_nothing_more_and_holds_nothing_completes_the_request():
    machine = Sized()
    machine.feed(b"2\n")
    assert (machine.completed, machine.begun, machine.expecting) == (0, True, Exactly(2))
    machine.feed(b"ab")
    assert (machine.completed, machine.begun, machine.expecting) == (1, False, Line(limit=20))


def test_a_request_begins_with_its_first_byte():
    machine = Recorder(Line())
    assert not machine.begun
    machine.feed(b"a")
    assert machine.begun
    machine.feed(b"\n")
    assert not machine.begun


def test_a_held_request_is_complete_only_when_it_was_released():
    machine = Talk()
    machine.feed(b"H\nPnext\n")
    assert (machine.held, machine.completed, machine.log) == (True, 0, [b"H\n"])
    machine.release()
    assert (machine.held, machine.log) == (False, [b"H\n"])
    machine.feed()
    assert (machine.completed, machine.log) == (2, [b"H\n", b"Pnext\n"])


def test_a_held_request_that_expects_more_goes_on_after_its_release():
    machine = Talk()
    machine.feed(b"J3\nabc")
    machine.release()
    assert machine.completed == 0
    machine.feed()
    assert (machine.completed, machine.log) == (1, [b"J3\n", b"abc"])


def test_a_held_request_counts_when_it_is_released_even_if_it_was_empty():
    machine = StateMachine()
    machine.expect(ToEOF(), lambda message: machine.hold())
    machine.end_input()
    machine.release()
    machine.feed()
    assert machine.completed == 1


def test_release_without_hold_is_a_mistake_that_is_named():
    with pytest.raises(RuntimeError, match=r"release\(\) without hold\(\)"):
        Recorder(Line()).release()


def test_exactly_nothing_is_a_message_at_once():
    machine = Sized()
    machine.feed(b"0\n")
    assert (machine.log, machine.completed) == ([b"0\n", b""], 1)


@pytest.mark.parametrize("reason", [HELD, PAUSED, FULL, BUDGET])
def test_while_anything_keeps_messages_back_the_bytes_stay(reason):
    machine = Recorder(Line())
    machine.blocked |= reason
    for byte in b"ab\ncd\n":
        machine.feed(bytes([byte]))
    assert machine.messages == []
    machine.blocked &= ~reason
    machine.feed()
    assert machine.messages == [b"ab\n", b"cd\n"]


def test_once_closed_in_a_state_nothing_more_is_delivered_and_the_rest_is_thrown_away():
    class Quits(Recorder):
        def quit(self, line):
            self.messages.append(line)
            self.blocked |= CLOSED

    machine = Quits(Line())
    machine.begin_with(Line(), machine.quit)
    machine.feed(b"bye\nmore\nha")
    assert machine.messages == [b"bye\n"]
    assert not machine.begun


def test_a_delivery_is_bounded_and_goes_on_where_it_stopped():
    machine = Recorder(Line(keepends=False))
    count = 2 * MESSAGES_PER_DELIVERY + 3
    delivered = []
    machine.feed(b"".join(b"%d\n" % number for number in range(count)))
    while machine.blocked & BUDGET:
        delivered.append(len(machine.messages))
        machine.blocked &= ~BUDGET
        machine.feed()
    assert delivered == [MESSAGES_PER_DELIVERY, 2 * MESSAGES_PER_DELIVERY]
    assert machine.messages == [b"%d" % number for number in range(count)]


def test_empty_messages_without_end_cannot_hold_up_the_loop():
    class Again(Recorder):
        def again(self, message):
            self.messages.append(message)
            self.expect(Exactly(0), self.again)

    machine = Again(Line())
    machine.begin_with(Line(), machine.again)
    machine.feed(b"\n")
    assert machine.messages == [b"\n"] + [b""] * (MESSAGES_PER_DELIVERY - 1)
    assert machine.blocked & BUDGET


@pytest.mark.parametrize("call", ["expect", "begin_with"])
def test_a_request_begins_with_a_byte_and_so_not_with_exactly_nothing(call):
    with pytest.raises(ValueError, match=r"Exactly\(0\)"):
        getattr(StateMachine(), call)(Exactly(0), print)


def test_a_framing_of_ones_own_that_says_no_more_than_locate_is_never_asked_about_no_bytes():
    class Counted(Framing):
        def locate(self, buffer, start, scanned):
            end = start + 1 + buffer[start]
            return (start + 1, end, end) if end <= len(buffer) else None

    machine = Recorder(Counted())
    assert drive(machine, [b"\x01a\x00", b"\x02", b"bc"], eof=True) is None
    assert machine.messages == [b"a", b"", b"bc"]


def test_where_nothing_is_expected_bytes_are_thrown_away():
    machine = StateMachine()
    machine.feed(b"who reads this?\n" * 100)
    assert not machine.begun
    log = []
    machine.expect(Line(), log.append)
    machine.feed(b"now\n")
    assert log == [b"now\n"]


@pytest.mark.parametrize("call", ["expect", "begin_with"])
@pytest.mark.parametrize(
    ("framing", "state", "named"),
    [(b"\n", print, "framing"), (Line, print, "framing"), (Line(), None, "state"), (Line(), b"x", "state")],
)
def test_a_wrong_expectation_is_refused_where_it_is_made(call, framing, state, named):
    with pytest.raises(TypeError, match=named):
        getattr(StateMachine(), call)(framing, state)


# Errors


class Fragile(Talk):
    """Fails where a line says so."""

    def command(self, line):
        if line == b"fail\n":
            raise LookupError("no such command")
        if line == b"fail later\n":
            self.expect(Exactly(3), self.broken)
        elif line == b"fail expecting\n":
            self.expect(Exactly(3), self.log.append)
            raise LookupError("after all")
        else:
            super().command(line)

    def broken(self, data):
        raise LookupError(data)


@pytest.mark.parametrize("failing", [b"fail\n", b"fail later\nxyz", b"fail expecting\n"])
def test_an_error_in_a_state_passes_out_and_uses_up_its_message_and_its_request_only(failing):
    machine = Fragile()
    with pytest.raises(LookupError):
        machine.feed(b"Pone\n" + failing + b"Ptwo\nPth")
    assert machine.log == [b"Pone\n"]
    machine.feed(b"ree\n")
    assert machine.log == [b"Pone\n", b"Ptwo\n", b"Pthree\n"]
    assert machine.completed == 3, "a request that failed is not a completed one"


def test_what_was_refused_is_never_delivered():
    machine = Recorder(Line(limit=4))
    with pytest.raises(FramingError):
        machine.feed(b"too long\n")
    machine.feed(b"ok\n")  # nothing is taken in after that, nor kept
    assert machine.messages == []
    assert not machine.begun
    assert machine.completed == 0


# The end of input


def test_eof_delivers_what_it_completes_once():
    machine = Recorder(ToEOF())
    machine.feed(b"all ")
    machine.feed(b"of it")
    assert machine.messages == []
    for _ in range(2):
        machine.end_input()
        machine.feed()
    assert machine.messages == [b"all of it"]


def test_eof_on_nothing_is_an_empty_message_of_toeof_and_none_of_anything_else():
    for framing, messages in [
        (ToEOF(), [b""]),
        (Line(partial=True), []),
        (Exactly(1), []),
        (Available(), []),
    ]:
        machine = Recorder(framing)
        machine.end_input()
        assert machine.messages == messages, framing


@pytest.mark.parametrize("reason", [HELD, PAUSED, FULL])
def test_what_eof_completes_waits_for_what_keeps_messages_back(reason):
    machine = Recorder(Line(partial=True))
    machine.blocked |= reason
    machine.feed(b"one\ntwo")
    machine.end_input()
    assert machine.messages == []
    machine.blocked &= ~reason
    machine.feed()
    assert machine.messages == [b"one\n", b"two"]


def test_what_eof_completes_comes_after_all_deliveries_before_it():
    machine = Recorder(Line(partial=True))
    machine.feed(b"x\n" * (MESSAGES_PER_DELIVERY + 1) + b"rest")
    machine.end_input()
    assert machine.messages == [b"x\n"] * MESSAGES_PER_DELIVERY
    resume(machine)
    assert machine.messages[MESSAGES_PER_DELIVERY:] == [b"x\n", b"rest"]


@pytest.mark.parametrize("data", [b"", b"P\n", b"Pcut of", b"B5\nabc"])
def test_handle_eof_is_called_once_when_all_that_came_was_delivered(data):
    class Ends(Talk):
        ended = 0

        def handle_eof(self):
            self.ended += 1
            assert self.log == [line + b"\n" for line in data.split(b"\n")[:-1]]

    machine = Ends()
    machine.feed(data)
    assert machine.ended == 0
    for _ in range(2):
        machine.end_input()
        machine.feed()
    assert machine.ended == 1


def test_handle_eof_waits_for_a_held_request():
    class Ends(Talk):
        def handle_eof(self):
            self.log.append("eof")

    machine = Ends()
    machine.feed(b"H\n")
    machine.end_input()
    assert machine.log == [b"H\n"]
    machine.release()
    machine.feed()
    assert machine.log == [b"H\n", "eof"]


# Work


class Metered(bytearray):
    """An inbox that counts the bytes that are scanned, and copied, in it; too many fail at once."""

    scanned = copied = 0
    allowed = 0

    def __init__(self, *args):
        super().__init__(*args)
        self._copy(len(self))

    def find(self, sub, start=0, end=None):
        Metered.scanned += max(0, (len(self) if end is None else min(end, len(self))) - start)
        assert Metered.scanned <= Metered.allowed, "scanned more often than once or twice"
        return super().find(sub, start, len(self) if end is None else end)

    def __iadd__(self, data):
        self._copy(len(data))
        return super().__iadd__(data)

    def __getitem__(self, key):
        if isinstance(key, slice):
            self._copy(len(range(*key.indices(len(self)))))
        return super().__getitem__(key)

    @staticmethod
    def _copy(count):
        Metered.copied += count
        assert Metered.copied <= Metered.allowed, "copied more often than once or twice"


@pytest.fixture
def metered(monkeypatch):
    """Inboxes that are metered, to be used as ``with_limit = metered(bytes)``."""
    monkeypatch.setattr(machine_module, "bytearray", Metered, raising=False)

    def start(allowed):
        Metered.scanned = Metered.copied = 0
        Metered.allowed = allowed
        return Metered

    return start


SIZE = 8 << 20
PIECE = b"x" * 64


@pytest.mark.parametrize(
    ("framing", "head", "tail", "searches"),
    [
        (Line(limit=2 * SIZE), b"", b"\n", True),
        (Line(limit=2 * SIZE, keepends=False), b"", b"\r\n", True),
        (Until(b"\r\n\r\n", limit=2 * SIZE), b"", b"\r\n\r\n", True),
        (Exactly(SIZE), b"", b"", False),
        (LengthPrefixed(limit=SIZE), SIZE.to_bytes(4, "big"), b"", False),
        (Netstring(SIZE), b"%d:" % SIZE, b",", False),
        (ToEOF(SIZE), b"", b"", False),
    ],
    ids=["Line", "Line-stripped", "Until", "Exactly", "LengthPrefixed", "Netstring", "ToEOF"],
)
def test_a_message_of_8_mib_in_pieces_of_64_bytes_is_scanned_and_copied_once(
    metered, framing, head, tail, searches
):
    # Twice leaves room for a prefix or an end that is looked at again; quadratic would be 65,000 times.
    meter = metered(2 * SIZE + 4096)
    machine = Recorder(framing)
    if head:
        machine.feed(head)
    for _ in range(SIZE // len(PIECE)):
        machine.feed(PIECE)
    if tail:
        machine.feed(tail)
    machine.end_input()
    assert len(machine.messages) == 1 and len(machine.messages[0]) >= SIZE
    assert meter.copied >= SIZE, "the meter measured nothing"
    assert meter.scanned >= SIZE - 64 or not searches, "the meter measured nothing"


def _work_through(size):
    """Processor time for *size* bytes of short lines that wait in the inbox and are taken one by one."""
    machine = StateMachine()
    machine.expect(Line(), lambda line: machine.hold())
    machine.hold()
    machine.feed(b"x" * 63 + b"\n")
    for _ in range(size // 65536):
        machine.feed((b"x" * 63 + b"\n") * 1024)
    started = time.process_time()
    while machine.begun:
        machine.release()
        machine.feed()
    assert machine.completed >= size // 64
    return time.process_time() - started


def test_a_backlog_is_worked_off_in_linear_time():
    small, large = [], []
    for _ in range(5):
        small.append(_work_through(1 << 20))
        large.append(_work_through(2 << 20))
    assert min(large) < 3 * min(small)
