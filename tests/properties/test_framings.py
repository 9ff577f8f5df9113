"""Proves that framings and machine find what a plain model finds, in any bytes, with little work."""

from __future__ import annotations

from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from reactor import machine as machine_module
from reactor.framing import Exactly, Framing, FramingError, LengthPrefixed, Line, Netstring, ToEOF, Until
from tests.properties import examples, naive, streams
from tests.properties.scripts import converse
from tests.support.machines import Recorder, cut, drive, messages_of, places


@examples(200)
@given(st.data(), places, st.booleans())
def test_any_split_gives_what_the_model_finds_in_the_whole(data, where, eof):
    framing = data.draw(streams.determined)
    sent = data.draw(streams.talk(framing))
    found, error = messages_of(framing, cut(sent, where), eof)
    assert (found, error is FramingError) == naive.messages(framing, sent, eof)
    assert error in (None, FramingError)


@examples(100)
@given(st.data(), places)
def test_available_gives_what_has_come_and_loses_nothing(data, where):
    framing = data.draw(streams.availables)
    pieces = cut(data.draw(st.binary(max_size=60)), where)
    found, error = messages_of(framing, pieces, eof=True)
    assert error is None
    assert found == [message for piece in pieces for message in naive.messages(framing, piece)[0]]


@examples(150)
@given(st.data(), st.binary(max_size=9), st.booleans())
def test_locate_says_the_same_wherever_the_message_stands_and_however_far_it_had_looked(data, before, inbox):
    framing = data.draw(streams.framings)
    sent = data.draw(streams.talk(framing))
    seen = data.draw(st.integers(0, len(sent)))
    buffer = (bytearray if inbox else bytes)(before + sent)
    start = len(before)
    first_look = naive.look(framing, sent[:seen])
    scanned = start
    if isinstance(first_look, naive.Incomplete):
        scanned = framing.rescan(buffer[: start + seen], start)
        assert start <= scanned <= max(start, start + seen)
    try:
        place = framing.locate(buffer, start, scanned)
    except FramingError:
        answer = naive.Refused()
    else:
        if place is None:
            answer = naive.Incomplete()
        else:
            first, last, end = place
            answer = naive.Found(bytes(buffer[first:last]), end - start)
    expected = naive.look(framing, sent)
    assert answer == (naive.Incomplete() if isinstance(expected, naive.Incomplete) else expected)
    assert bytes(buffer) == before + sent, "locate changed the buffer"


# Limits

_LIMITED = st.one_of(
    st.builds(Line, limit=st.integers(1, 300), keepends=st.booleans()),
    st.builds(Until, st.sampled_from([b"ab", b"\r\n\r\n"]), st.integers(4, 300), st.booleans()),
    st.builds(
        LengthPrefixed, st.sampled_from([2, 4, 8]), st.sampled_from(["big", "little"]), st.integers(1, 300)
    ),
    st.builds(Netstring, st.integers(1, 300)),
    st.builds(ToEOF, st.integers(1, 300)),
)


@examples(150)
@given(_LIMITED, places, st.integers(1, 5))
def test_the_longest_message_passes_and_one_byte_more_is_refused_complete_or_not(framing, where, more):
    separator = framing.end if isinstance(framing, Until) else b"\n" if isinstance(framing, Line) else b""
    longest = framing.limit - len(separator)  # of a payload
    for size, passes in ((longest, True), (longest + more, False)):
        sent = streams.framed(framing, b"x" * size)
        found, error = messages_of(framing, cut(sent, where), eof=True)
        assert (len(found), error) == ((1, None) if passes else (0, FramingError))
    # ... and no more than the limit and what surrounds it is kept before it is refused
    for place in where:
        machine = Recorder(framing)
        refused = drive(machine, cut(sent[: place % (len(sent) + 1)], where))
        assert refused is FramingError or len(machine._inbox) <= framing.limit + 20


# Conversations


@examples(150)
@given(
    st.data(),
    st.lists(st.tuples(streams.determined | st.just(Exactly(0)), st.booleans(), st.booleans()), max_size=3),
    streams.determined,
    st.one_of(st.none(), st.integers(1, 60)),
    places,
    st.lists(st.booleans(), max_size=12),
)
def test_a_conversation_of_any_framings_held_and_released_at_any_time_is_the_models(
    data, steps, first, most, where, releases
):
    steps = [(first, False, False), *steps]
    sent = b"".join(data.draw(streams.talk(framing)) for framing, *_ in steps)
    converse(steps, most, cut(sent, where), releases)


# Work


class Counted(Framing):
    """Another framing, which counts how often it is asked and how many bytes it has to look through."""

    def __init__(self, framing):
        self.framing = framing
        self.least = framing.least
        self.limit = framing.limit
        self.calls = self.looked = 0

    def locate(self, buffer, start, scanned):
        place = self.framing.locate(buffer, start, scanned)
        self.calls += 1
        self.looked += (len(buffer) if place is None else place[2]) - scanned
        return place

    def rescan(self, buffer, start):
        return self.framing.rescan(buffer, start)


class Searched(bytearray):
    """An inbox that counts the bytes that are searched in it."""

    looked = 0

    def find(self, sub, start=0, end=None):
        found = super().find(sub, start)
        Searched.looked += (len(self) if found < 0 else found + len(sub)) - start
        return found


_SEPARATED = st.one_of(
    st.just(Line(keepends=False)),
    st.sampled_from([b"ab", b"\r\n\r\n", b"aaaaab"]).map(lambda end: Until(end, keepends=False)),
)
_OTHERS = st.one_of(
    st.just(Netstring()), st.sampled_from([1, 2, 4, 8]).map(LengthPrefixed), st.integers(1, 50).map(Exactly)
)
_PAYLOADS = st.lists(st.binary(max_size=120), min_size=1, max_size=8)


@examples(100)
@given(_SEPARATED, _PAYLOADS, places)
def test_each_byte_is_searched_once_and_an_end_that_was_cut_once_more(framing, payloads, where):
    sent = b"".join(streams.framed(framing, payload) for payload in payloads)
    pieces = cut(sent, where)
    counted = Counted(framing)
    machine = Recorder(counted)
    assert drive(machine, pieces) is None
    assert machine.messages == naive.messages(framing, sent)[0]
    width = len(streams.framed(framing, b""))
    assert counted.looked <= len(sent) + width * len(pieces)
    assert counted.calls <= len(machine.messages) + len(pieces)


@examples(100)
@given(_SEPARATED, _PAYLOADS, places)
def test_the_inbox_is_searched_once_where_the_machine_does_it_itself(framing, payloads, where):
    kept = Line() if isinstance(framing, Line) else Until(framing.end)
    sent = b"".join(streams.framed(kept, payload) for payload in payloads)
    pieces = cut(sent, where)
    with patch.object(machine_module, "bytearray", Searched, create=True):
        Searched.looked = 0
        machine = Recorder(kept)
        assert drive(machine, pieces) is None
    assert machine.messages == naive.messages(kept, sent)[0]
    assert Searched.looked <= len(sent) + len(streams.framed(kept, b"")) * len(pieces)


@examples(100)
@given(_OTHERS, _PAYLOADS, places)
def test_a_framing_is_asked_once_for_each_message_and_each_piece(framing, payloads, where):
    sent = b"".join(streams.framed(framing, payload[:200]) for payload in payloads)
    pieces = cut(sent, where)
    counted = Counted(framing)
    machine = Recorder(counted)
    assert drive(machine, pieces) is None
    assert machine.messages == naive.messages(framing, sent)[0]
    assert counted.calls <= len(machine.messages) + len(pieces)
