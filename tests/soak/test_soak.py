"""A short soak of each kind of server's program, and of one whose every fault has to be found."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.abuse.contenders import PROGRAMS, Program
from tests.abuse.target import Target
from tests.soak import abusers, drained, loop, report, soak
from tests.soak.soak import Load, Soak

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the soak reads Linux's /proc")

LOAD = Load(polite=40, abusers=0.2, storm=20, pace=0.1)


class FaultyProgram(Program):
    @property
    def path(self) -> Path:
        return Path(__file__).with_name("faulty.py")


#: Found while clients come and go, in the words for it.
FOUND_IN_THE_CROWD = {
    "a wrong reply",
    "a lost reply",
    "a trickler was left in peace",
    "one that never reads was left in peace",
}

#: And in the end.
FOUND_AFTERWARDS = (
    "what was opened for clients stays when they have gone, 1 times: 1",
    "a server without clients is busy, ",
    "draining lost a reply, ",
    "draining lost something, 1 times: status 3",
    "1 lines in the log that no limit explains: ['something strange']",
)


def soaked(program: Program, enough: Callable[[Soak], bool]) -> tuple[Soak, list[str]]:
    """What became of it, and the lines that were said."""
    said: list[str] = []
    with Target(program) as target:
        course = Soak(target, 1, LOAD, lambda: said.append(report.line(course)))
        course.run(10.0, 0.0, lambda: enough(course))
    return course, said


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soak, "READ_EVERY", 0.1)
    monkeypatch.setattr(soak, "IDLE_TIME", 0.2)
    monkeypatch.setattr(loop, "LOOK_AROUND", 0.1)


def test_a_server_that_is_well_passes() -> None:
    def enough(course: Soak) -> bool:
        return (
            course.world.replies > 2000
            and course.world.abuses.total() > 50
            and course.log.causes["Asked"] > 0
        )

    course, said = soaked(PROGRAMS["reactor_state"], enough)
    assert course.reasons() == []
    assert enough(course)
    assert course.world.connections >= LOAD.polite
    assert said
    assert "replies compared" in report.summary(course)


def test_every_fault_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(abusers, "REQUEST_TIMEOUT", 0.0)
    monkeypatch.setattr(abusers, "SEND_TIMEOUT", 0.0)
    monkeypatch.setattr(abusers, "GRACE", 0.2)
    monkeypatch.setattr(soak, "PATIENCE", 0.2)
    monkeypatch.setattr(drained, "PATIENCE", 0.5)
    program = FaultyProgram("faulty", "a server with faults")
    course, _ = soaked(program, lambda course: course.world.complaints.kinds() >= FOUND_IN_THE_CROWD)
    assert course.world.complaints.kinds() >= FOUND_IN_THE_CROWD
    reasons = "\n".join(course.reasons())
    for words in FOUND_AFTERWARDS:
        assert words in reasons
