"""Proves the contract of `EventHandler`: nothing is guessed, and what is no handler is refused."""

from __future__ import annotations

import pytest

from reactor.events import EVENT_READ, EVENT_WRITE, CallbackHandler, EventHandler, event_handler_of


class Quiet(EventHandler):
    """As little as a handler can be."""

    closed = 0

    def fileno(self):
        return 7

    def close(self):
        self.closed += 1


def test_a_handler_must_have_a_descriptor_and_an_end():
    for missing in ("fileno", "close"):
        members = {name: getattr(Quiet, name) for name in ("fileno", "close") if name != missing}
        with pytest.raises(TypeError, match=missing):
            type("Half", (EventHandler,), members)()


def test_what_has_the_right_methods_is_still_no_handler_unless_it_says_so():
    class Lookalike:
        fileno = handle_read = handle_write = handle_exception = close = lambda self: None

    assert not isinstance(Lookalike(), EventHandler)


def test_events_that_a_handler_does_not_care_for_are_no_trouble():
    quiet = Quiet()
    quiet.handle_read()
    quiet.handle_write()
    quiet.handle_registered()
    quiet.stop_accepting()
    assert quiet.closed == 0 and quiet.may_block is False


def test_an_exception_is_logged_with_its_traceback_and_closes_that_handler(caplog):
    quiet = Quiet()
    error = LookupError("lost")
    try:
        raise error
    except LookupError as exc:
        quiet.handle_exception(exc)
    (record,) = caplog.records
    assert record.levelname == "ERROR" and "LookupError" in record.getMessage()
    assert record.exc_info[1] is error
    assert quiet.closed == 1


# Any callable


def test_a_callback_is_told_which_event_it_is():
    events, gone = [], []
    handler = CallbackHandler(9, events.append, gone.append)
    handler.handle_read()
    handler.handle_write()
    assert events == [EVENT_READ, EVENT_WRITE]
    assert handler.fileno() == 9 and gone == []


def test_closing_a_callback_only_unregisters_its_descriptor_which_is_its_owners():
    gone = []
    CallbackHandler(9, print, gone.append).close()
    assert gone == [9]


def test_a_callback_handler_names_its_callback():
    assert "print" in repr(CallbackHandler(9, print, print)) and "9" in repr(CallbackHandler(9, print, print))


# What may be registered by itself


def test_a_handler_is_its_own_and_a_server_offers_one():
    quiet, asked = Quiet(), []

    class Server:
        def event_handler(self, reactor):
            asked.append(reactor)
            return quiet

    assert event_handler_of(quiet, "reactor") is quiet
    assert event_handler_of(Server(), "reactor") is quiet
    assert asked == ["reactor"]


class WrongServer:
    def event_handler(self, reactor):
        return print


@pytest.mark.parametrize(
    ("fileobj", "words"),
    [(7, "EventHandler"), (None, "EventHandler"), (WrongServer(), r"event_handler\(\) must return")],
)
def test_what_is_no_handler_and_offers_none_is_refused_in_words(fileobj, words):
    with pytest.raises(TypeError, match=words):
        event_handler_of(fileobj, "reactor")


def test_a_foreign_type_can_be_taught():
    class Foreign:
        pass

    taught = Quiet()
    event_handler_of.register(Foreign, lambda fileobj, reactor: taught)
    assert event_handler_of(Foreign(), "reactor") is taught
