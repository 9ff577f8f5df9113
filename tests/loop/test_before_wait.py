"""`Reactor.call_before_wait`: what is asked in every turn."""

from __future__ import annotations

import pytest

from reactor import Reactor


def test_it_is_called_in_every_turn_until_cancelled() -> None:
    calls: list[str] = []

    def ask() -> None:
        calls.append("asked")

    with Reactor() as reactor:
        reactor.call_before_wait(ask)
        reactor.handle_events(0)
        reactor.handle_events(0)
        reactor.cancel_before_wait(ask)
        reactor.cancel_before_wait(ask)
        reactor.handle_events(0)
    assert calls == ["asked"] * 2


def test_what_it_asks_for_is_done_in_that_turn() -> None:
    calls: list[str] = []
    with Reactor() as reactor:
        reactor.call_before_wait(lambda: reactor.call_soon(calls.append, "done"))
        reactor.handle_events(None)  # without waiting
    assert calls == ["done"]


def test_one_that_raises_costs_a_line(caplog: pytest.LogCaptureFixture) -> None:
    calls: list[str] = []
    with Reactor() as reactor:
        reactor.call_before_wait(lambda: 1 / 0)
        reactor.call_before_wait(lambda: calls.append("next"))
        reactor.handle_events(0)
    assert calls == ["next"]
    assert [record.levelname for record in caplog.records] == ["ERROR"]
