"""What properties and fuzzer have found, as short as they could make it. See `stage` for what is compared."""

from __future__ import annotations

import pytest

from reactor.framing import Exactly, Line
from reactor.table import RequestState
from tests.properties.performers import CoroutinePerformer, StatePerformer
from tests.properties.stage import Stage, Step

BOTH = pytest.mark.parametrize("style", [StatePerformer, CoroutinePerformer])


@BOTH
def test_nothing_written_before_the_opening_is_nothing_owed(style):
    with Stage(style, [Step(Line(10))]) as stage:
        stage.make_room(0)
        stage.write(0)
        stage.rest()


@BOTH
def test_a_write_after_write_eof_is_refused_in_later_deliveries_too(style):
    with Stage(style, [Step(Exactly(1), (("write", 5),))], opening=(("write", 3), ("write_eof", 0))) as stage:
        stage.turn()
        stage.arrive(b"ab")
        stage.rest()
        assert stage.step == 2, "it goes on reading"


@BOTH
@pytest.mark.parametrize("room", [2, 1000])
def test_a_long_reply_after_a_long_silence_is_sent_before_the_end(style, room):
    with Stage(style, [Step(Line(10), (("write", 120), ("close", 0)))]) as stage:
        stage.turn()
        stage.write(1)
        stage.advance(5.0)
        stage.make_room(room)
        stage.arrive(b"a\nb\n")
        stage.rest()
        assert stage.handler.state is RequestState.CLOSING, "a reset may overtake the reply"
        stage.make_room(1000)
        stage.rest()
        assert stage.socket.taken == stage.written


@BOTH
def test_a_peer_that_takes_all_and_is_owed_more_at_once_has_the_whole_time_again(style):
    """More than the limit is owed, so that the next message is answered only when that has drained."""
    with Stage(style, [Step(Line(10), (("write", 400),))]) as stage:
        stage.turn()
        stage.make_room(0)
        stage.arrive(b"a\nb\nc\n")
        stage.rest()
        for _ in range(2):
            stage.advance(20.0)
            stage.make_room(420)
            stage.rest()
            assert stage.handler.state is RequestState.WRITING


@pytest.mark.parametrize(("keep", "let_go"), [("hold", "release"), ("pause", "resume")])
def test_who_is_let_go_and_written_to_reads_no_more_before_it_has_gone_on(keep, let_go):
    """Each time one message is used up; a buffer each time would pile up without end."""
    with Stage(StatePerformer, [Step(Line(10), ((keep, 0),))]) as stage:
        stage.turn()
        stage.make_room(0)
        stage.write(10)
        stage.arrive(b"a\n" * 500)
        stage.rest()
        for _ in range(20):
            getattr(stage, let_go)()
            stage.write(1)
            stage.rest()
        stage.make_room(1000)
