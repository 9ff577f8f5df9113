"""Proves that the judge is not asleep: a server with a fault does not survive, and is told which."""

from __future__ import annotations

import pytest

from tests.abuse import readings, rows, survival  # noqa: F401 - `rows` defines them
from tests.abuse.bystander import TOO_LATE
from tests.abuse.contenders import Program
from tests.abuse.peer import Peer
from tests.abuse.report import Outcome, table
from tests.abuse.scene import Row
from tests.abuse.survival import Figures, survive
from tests.abuse.target import Target

BROKEN = Program("broken", "broken", ours=True, waits_in="thread", crowd=20, queue=5)


def _visits(scene):
    """A row of politeness."""
    for _ in range(10):
        scene.peer().ask(b"good morning\n")
        scene.bystander.wait_for(4)


def _row(run, fault=None):
    return Row(
        "visits",
        "Visits",
        run,
        growth=4.0,
        logged=fault != "chats",
        settings={"fault": fault} if fault else {},
    )


def test_without_a_fault_it_survives():
    figures = survive(_row(_visits), BROKEN)
    assert figures.asked >= 5 and not figures.lost and figures.growth < 4
    assert 0 < figures.cpu < 2 and 0 < figures.longest_wait < TOO_LATE


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("grows", "it grew by"),
        ("keeps descriptors", "it keeps .* descriptors"),
        ("keeps threads", "it keeps .* threads"),
        ("dies", "it died, status 3"),
        ("refuses", "a wrong answer"),
        ("spins", "it never rests"),
        ("forgets", "replies to others lost"),
        ("mistakes", "replies to others lost"),
        ("floods the log", "lines in .* s: a line was asked"),
        ("chats", "not worth a line: a line was asked"),
        ("tells too much", "a traceback that a peer caused"),
    ],
)
def test_a_fault_is_found(fault, words, monkeypatch):
    monkeypatch.setattr(survival, "GIVEN_BACK", 0.5)
    if fault == "forgets":  # any other fault is no matter of time
        monkeypatch.setattr("tests.abuse.bystander.TOO_LATE", 0.2)
    with pytest.raises(AssertionError, match=words):
        survive(_row(_visits, fault), BROKEN)


def test_what_the_row_itself_says_goes_first():
    def fails(scene):
        raise AssertionError("in words")

    with pytest.raises(AssertionError, match="in words"):
        survive(_row(fails), BROKEN)


def test_a_program_is_gone_with_its_target():
    with Target(BROKEN) as target, Peer(target.address) as peer:
        assert peer.ask(b"x\n") == b"X\n"
        assert readings.is_held(target.port, peer.socket.getsockname()[1])
    assert not target.alive
    with pytest.raises(ConnectionRefusedError):
        Peer(target.address)


def test_a_program_ends_by_itself_when_its_time_is_up():
    with Target(BROKEN, lifetime=1) as target:
        assert target.ended() != 0


def test_the_table_says_who_survives_and_why_not():
    figures = Figures("half_close", "asyncio_streams", 1.0, 0.1, 5, 0, 0.01, 1.0)
    text = table(
        [
            Outcome("half_close", "asyncio_streams", figures=figures),
            Outcome("half_close", "uvloop_streams", failure="a reply is lost"),
            Outcome("half_a_line", "asyncio_streams", failure="it died"),
        ]
    )
    lines = text.splitlines()
    assert lines[0] == "|  | asyncio | uvloop |"
    assert lines[2].endswith("| yes | **no** |")
    assert lines[3].endswith("| **no** |  |")
    assert lines[4] == "| **survived** | 1 of 2 | 0 of 1 |"
    assert "a reply is lost" in lines[6] and "it died" in lines[7]
