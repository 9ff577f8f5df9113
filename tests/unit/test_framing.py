"""Proves that every framing finds the same messages, and refuses the same bytes, however they are split."""

from __future__ import annotations

import sys
from functools import partial

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

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
from tests.support.machines import Recorder, cut, drive, every_split, messages_of, places

ALL = [
    Line(),
    Until(b"\0"),
    Exactly(3),
    Available(),
    LengthPrefixed(),
    Netstring(),
    ToEOF(),
]
NAMES = [type(framing).__name__ for framing in ALL]


# Which messages


@pytest.mark.parametrize(
    ("framing", "data", "messages"),
    [
        (Line(), b"a\nb\r\n\n\r\n", [b"a\n", b"b\r\n", b"\n", b"\r\n"]),
        (Line(keepends=False), b"a\nb\r\n\n\r\n", [b"a", b"b", b"", b""]),
        (Line(keepends=False), b"\ra\rb\n\r\r\nc\n", [b"\ra\rb", b"\r", b"c"]),
        (Line(keepends=False), b"\n\r", [b""]),
        (Line(), b"a\rb\x0bc\x85d\n", [b"a\rb\x0bc\x85d\n"]),
        (
            Until(b"\r\n.\r\n"),
            b"x\r\n.\r\n\r\n.\r\n\r\n\r\n.\r\n",
            [b"x\r\n.\r\n", b"\r\n.\r\n", b"\r\n\r\n.\r\n"],
        ),
        (Until(b"\r\n.\r\n", keepends=False), b"x\r\n.\r\n\r\n.\r\n", [b"x", b""]),
        (Until(b"aab"), b"aaabaab", [b"aaab", b"aab"]),
        (Until(b"aa"), b"aaaaba a", [b"aa", b"aa"]),
        (Exactly(3), b"abcde\n", [b"abc", b"de\n"]),
        (Netstring(), b"0:,3:a:b,12:0123456789ab,", [b"", b"a:b", b"0123456789ab"]),
        (LengthPrefixed(1), b"\x00\x02ab\x01c", [b"", b"ab", b"c"]),
        (LengthPrefixed(2), b"\x00\x02ab\x00\x00", [b"ab", b""]),
        (LengthPrefixed(2, "little"), b"\x02\x00ab\x00\x00", [b"ab", b""]),
        (LengthPrefixed(4), b"\x00\x00\x00\x02ab", [b"ab"]),
        (LengthPrefixed(4, "little"), b"\x02\x00\x00\x00ab", [b"ab"]),
        (LengthPrefixed(8), b"\x00\x00\x00\x00\x00\x00\x00\x02ab", [b"ab"]),
        (LengthPrefixed(8, "little"), b"\x02\x00\x00\x00\x00\x00\x00\x00ab", [b"ab"]),
    ],
)
def test_finds_these_messages_however_the_bytes_are_split(framing, data, messages):
    for pieces in every_split(data):
        assert messages_of(framing, pieces) == (messages, None), pieces


@given(
    st.sampled_from([1, 2, 4, 8]),
    st.sampled_from(["big", "little"]),
    st.lists(st.binary(max_size=300), max_size=5),
    places,
)
def test_a_length_prefix_of_any_size_and_order_round_trips(size, byteorder, sent, where):
    sent = [message[: 256**size - 1] for message in sent]
    data = b"".join(len(message).to_bytes(size, byteorder) + message for message in sent)
    assert messages_of(LengthPrefixed(size, byteorder), cut(data, where)) == (sent, None)


@given(st.lists(st.binary(max_size=120), max_size=5), places)
def test_netstrings_round_trip(sent, where):
    data = b"".join(b"%d:%s," % (len(message), message) for message in sent)
    assert messages_of(Netstring(), cut(data, where)) == (sent, None)


@given(st.text("ab\r\n", max_size=60), places, st.booleans())
def test_lines_are_those_of_a_plain_split(text, where, keepends):
    data = text.encode()
    *whole, _rest = data.split(b"\n")
    expected = [line + b"\n" for line in whole] if keepends else [line.removesuffix(b"\r") for line in whole]
    assert messages_of(Line(keepends=keepends), cut(data, where)) == (expected, None)


@given(st.binary(min_size=1, max_size=200), places, st.integers(1, 50))
def test_available_gives_every_byte_once_in_messages_of_one_to_limit(data, where, limit):
    messages, error = messages_of(Available(limit), cut(data, where))
    assert error is None
    assert b"".join(messages) == data
    assert all(1 <= len(message) <= limit for message in messages)


def test_available_does_not_wait_for_its_limit():
    assert messages_of(Available(4), [b"a", b"bcdefg"]) == ([b"a", b"bcde", b"fg"], None)


def _bounded(framing_of):
    """Framings of one kind with limits so small that random bytes often pass them."""
    return st.integers(1, 12).map(framing_of)


_FRAMINGS = st.one_of(
    st.builds(Line, limit=st.integers(1, 12), keepends=st.booleans(), partial=st.booleans()),
    st.builds(
        Until, st.sampled_from([b"a", b"ab", b"aa", b"aab", b"\r\n\r\n"]), st.integers(4, 12), st.booleans()
    ),
    st.integers(1, 9).map(Exactly),
    st.builds(
        LengthPrefixed, st.sampled_from([1, 2]), st.sampled_from(["big", "little"]), st.integers(1, 12)
    ),
    _bounded(Netstring),
    _bounded(ToEOF),
)
#: Bytes that mean something to one framing or another.
_STREAMS = st.one_of(
    st.lists(
        st.sampled_from([b"a", b"b", b"\r", b"\n", b"\r\n", b"\0", b"\1", b"2:ab,", b"0:,", b"11:", b"3"])
    ).map(b"".join),
    st.binary(max_size=60),
)


@given(_FRAMINGS, _STREAMS, places, st.booleans())
@example(Netstring(9), b"12:", [], False)
@example(Until(b"\r\n\r\n", limit=6), b"abc\r\n\r\n", [4], False)
def test_any_split_gives_the_same_messages_and_the_same_error(framing, data, where, eof):
    assert messages_of(framing, cut(data, where), eof) == messages_of(framing, [data], eof)


@pytest.mark.parametrize("framing", ALL, ids=NAMES)
def test_incomplete_is_not_an_empty_message(framing):
    assert framing.locate(b"", 0, 0) is None


# Limits


@pytest.mark.parametrize(
    ("framing", "longest", "doomed", "too_long"),
    [
        (Line(limit=4), b"abc\n", b"abcd", b"abcd\n"),
        (Line(limit=4), b"ab\r\n", b"abc\r", b"abc\r\n"),
        (Line(limit=4, keepends=False), b"abc\n", b"abcd", b"abcd\n"),
        (Line(limit=1), b"\n", b"a", b"a\n"),
        (Until(b"--", limit=4), b"ab--", b"abc-", b"abc--"),
        (Until(b"--", limit=4, keepends=False), b"ab--", b"abc-", b"abc--"),
        (LengthPrefixed(1, limit=4), b"\4abcd", b"\5", b"\5abcde"),
        (LengthPrefixed(8, limit=4), b"\0\0\0\0\0\0\0\4abcd", b"\xff" * 8, b"\0\0\0\0\0\0\0\5abcde"),
        (Netstring(4), b"4:abcd,", b"5:", b"5:abcde,"),
        (Netstring(4), b"4:abcd,", b"10", b"10:abcdefghij,"),
        (Netstring(10), b"10:abcdefghij,", b"11:", b"11:abcdefghijk,"),
        (ToEOF(4), b"abcd", b"abcde", b"abcde"),
    ],
)
def test_a_limit_takes_the_longest_message_and_refuses_one_byte_more_complete_or_not(
    framing, longest, doomed, too_long
):
    for pieces in every_split(longest):
        messages, error = messages_of(framing, pieces, eof=True)
        assert (len(messages), error) == (1, None), pieces
    for refused in (doomed, too_long):
        for pieces in every_split(refused):
            assert messages_of(framing, pieces) == ([], FramingError), pieces


@pytest.mark.parametrize(
    ("framing", "data", "figure"),
    [
        (Line(limit=7), b"12345678\n", "7"),
        (Until(b";", limit=7), b"12345678;", "7"),
        (LengthPrefixed(limit=7), b"\0\0\0\x08", "8"),
        (Netstring(7), b"8:", "8"),
        (ToEOF(7), b"12345678", "8"),
    ],
)
def test_a_refusal_names_the_framing_its_limit_and_the_figure(framing, data, figure):
    with pytest.raises(FramingError) as refused:
        framing.locate(data, 0, 0)
    text = str(refused.value)
    assert type(framing).__name__ in text and "limit of 7 bytes" in text and figure in text


def test_what_came_whole_before_a_refused_message_is_delivered():
    for pieces in every_split(b"ab\nabcdefgh\ncd\n"):
        assert messages_of(Line(limit=4), pieces) == ([b"ab\n"], FramingError), pieces


# Netstrings that are none


@pytest.mark.parametrize(
    "nonsense",
    [
        b":",
        b"x",
        b"-1:a,",
        b"+1:a,",
        b" 1:a,",
        b"1 :a,",
        b"01:a,",
        b"00:,",
        b"1_0:",
        b"\xb2:",
        b"1:ab",
        b"0:x",
        b"1:a\n",
    ],
)
def test_nonsense_is_refused_after_the_good_messages_before_it(nonsense):
    for pieces in every_split(b"2:ok," + nonsense):
        assert messages_of(Netstring(), pieces) == ([b"ok"], FramingError), pieces


@pytest.mark.parametrize("first", [b"x", b":", b"00", b"1x", b"123456"])
def test_a_bad_length_is_refused_at_its_first_wrong_byte(first):
    assert Netstring().locate(first[:-1], 0, 0) is None
    with pytest.raises(FramingError):
        Netstring().locate(first, 0, 0)


def test_a_digit_run_without_end_is_refused_before_it_is_kept():
    with pytest.raises(FramingError):
        Netstring(limit=10**30).locate(b"9" * 40, 0, 0)


# The end of input


@pytest.mark.parametrize(
    ("framing", "data", "messages"),
    [
        (Line(), b"a\nrest", [b"a\n"]),
        (Line(partial=True), b"a\nrest", [b"a\n", b"rest"]),
        (Line(partial=True), b"a\n", [b"a\n"]),
        (Line(partial=True), b"", []),
        (Line(partial=True, keepends=False), b"a\r\nrest", [b"a", b"rest"]),
        (Until(b"\0"), b"a\0rest", [b"a\0"]),
        (Exactly(3), b"abcde", [b"abc"]),
        (Available(), b"", []),
        (LengthPrefixed(1), b"\3ab", []),
        (Netstring(), b"1:a,3:ab", [b"a"]),
        (ToEOF(), b"all\nof it", [b"all\nof it"]),
        (ToEOF(), b"", [b""]),
    ],
)
def test_eof_completes_only_what_it_may(framing, data, messages):
    for pieces in every_split(data):
        assert messages_of(framing, pieces, eof=True) == (messages, None), pieces


# Values

NO_LIMITS = (0, -1, 1.5, None, True, "80", float("inf"))


@pytest.mark.parametrize(
    ("framing", "argument", "wrong"),
    [
        *(
            (framing, "limit", wrong)
            for framing in (Line, Available, Netstring, ToEOF)
            for wrong in NO_LIMITS
        ),
        *((partial(Until, b";"), "limit", wrong) for wrong in NO_LIMITS),
        *((LengthPrefixed, "limit", wrong) for wrong in NO_LIMITS),
        *((Until, "end", wrong) for wrong in (b"", "\n", bytearray(b"\n"), 10, None)),
        *((Exactly, "size", wrong) for wrong in (-1, "3", 3.0, True, None)),
        *((LengthPrefixed, "size", wrong) for wrong in (0, 3, 16, 4.0, True, "4", None)),
        *((LengthPrefixed, "byteorder", wrong) for wrong in ("network", "BIG", b"big", None)),
    ],
)
def test_a_wrong_argument_is_refused_at_once_and_named(framing, argument, wrong):
    with pytest.raises((TypeError, ValueError), match=rf"\w+\({argument}\b"):
        framing(**{argument: wrong})


@pytest.mark.parametrize("framing", ALL, ids=NAMES)
def test_a_framing_is_immutable_and_takes_no_new_attributes(framing):
    before = repr(framing)
    for name in ("limit", "size", "end", "separator", "least", "anything"):
        with pytest.raises((AttributeError, TypeError)):
            setattr(framing, name, 1)
    assert repr(framing) == before


@pytest.mark.parametrize(
    ("make", "other"),
    [
        (Line, Line(limit=9)),
        (Line, Line(keepends=False)),
        (Line, Line(partial=True)),
        (Line, Until(b"\n")),
        (lambda: Until(b"x"), Until(b"y")),
        (lambda: Exactly(3), Exactly(4)),
        (Available, ToEOF(65536)),
        (LengthPrefixed, LengthPrefixed(8)),
        (LengthPrefixed, LengthPrefixed(byteorder="little")),
        (Netstring, Netstring(9)),
        (ToEOF, ToEOF(9)),
    ],
)
def test_framings_are_equal_by_value_and_hash_alike(make, other):
    assert make() == make() and hash(make()) == hash(make())
    assert make() != other
    assert len({make(), make(), other}) == 2


# A framing of one's own


class Parenthesised(Framing):
    """``(a(b)c)``: a message ends where its parentheses are balanced."""

    def locate(self, buffer, start, scanned):
        depth = 0
        for place in range(start, len(buffer)):
            depth += {0x28: 1, 0x29: -1}.get(buffer[place], 0)
            if depth == 0:
                return start, place + 1, place + 1
        return None


class Records(Framing):
    """A framing that only names its separator."""

    separator = b"\x1e"
    limit = 8


def test_a_framing_of_ones_own_needs_locate_or_a_separator_only():
    assert messages_of(Parenthesised(), [b"(a(", b"b)c)(d", b")"]) == ([b"(a(b)c)", b"(d)"], None)
    assert messages_of(Records(), [b"a\x1eb", b"c\x1e"]) == ([b"a\x1e", b"bc\x1e"], None)
    assert messages_of(Records(), [b"12345678\x1e"]) == ([], FramingError)
    assert Records.limit < Framing.limit == sys.maxsize


def test_a_framing_that_does_not_say_where_a_message_ends_is_told_to():
    with pytest.raises(NotImplementedError, match=r"Nothing .*locate"):
        type("Nothing", (Framing,), {})().locate(b"x", 0, 0)


def test_one_framing_serves_many_machines_at_once():
    shared = Line()
    first, second = (Recorder(shared) for _ in range(2))
    for a, b in zip(b"one\ntwo\n", b"1\n2\n3\n4\n", strict=True):
        assert drive(first, [bytes([a])]) is None
        assert drive(second, [bytes([b])]) is None
    assert first.messages == [b"one\n", b"two\n"]
    assert second.messages == [b"1\n", b"2\n", b"3\n", b"4\n"]
