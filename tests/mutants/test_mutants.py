"""The tool itself: what it deletes, how that is reviewed, and that it can tell caught from survived."""

from __future__ import annotations

import pathlib
import textwrap

import pytest

from tests.mutants import ROOMS, reviewed
from tests.mutants.mentions import named_first
from tests.mutants.statements import Mutant, mutants
from tests.mutants.workshop import ROOT, ToolError, Workshop

SOURCE = '''\
"""A module."""

import os
from typing import TYPE_CHECKING

__all__ = ["Door"]

if TYPE_CHECKING:
    Base = int
else:
    Base = object


class Door(Base):
    """A door."""

    width: int
    height = 2

    def open(self, wide):
        """Open it."""
        if wide:
            self.creak("é"); return 2
        elif self.locked:
            raise ValueError(
                "locked",  # says who
            )
        try:
            self.creak()
        except OSError:
            pass
        finally:
            self.creak()
            self.creak()
'''


def found(source: str = SOURCE) -> list[Mutant]:
    return mutants("door.py", source.encode())


def without(statement: str, occurrence: int = 1) -> str:
    """The source without that statement."""
    (mutant,) = [
        each
        for each in found()
        if (each.statement.splitlines()[0], each.occurrence) == (statement, occurrence)
    ]
    return mutant.source.decode()


def test_every_statement_that_does_something_is_found_and_compound_ones_whole_too():
    assert [(each.function, each.statement.splitlines()[0], each.occurrence) for each in found()] == [
        ("<module>", "Base = object", 1),
        ("Door", "height = 2", 1),
        ("Door.open", "if wide:", 1),
        ("Door.open", 'self.creak("é")', 1),
        ("Door.open", "return 2", 1),
        ("Door.open", "elif self.locked:", 1),
        ("Door.open", "raise ValueError(", 1),
        ("Door.open", "try:", 1),
        ("Door.open", "self.creak()", 1),
        ("Door.open", "self.creak()", 2),
        ("Door.open", "self.creak()", 3),
    ]


@pytest.mark.parametrize(
    ("statement", "occurrence", "before", "after"),
    [
        ("return 2", 1, 'self.creak("é"); return 2', 'self.creak("é"); pass'),
        ('self.creak("é")', 1, 'self.creak("é"); return 2', "pass; return 2"),
        ("height = 2", 1, "    height = 2\n", "    pass\n"),
        ("self.creak()", 2, "finally:\n            self.creak()", "finally:\n            pass"),
    ],
)
def test_a_deleted_statement_leaves_pass_and_everything_else(statement, occurrence, before, after):
    assert without(statement, occurrence) == SOURCE.replace(before, after, 1)


def test_a_compound_statement_goes_with_all_that_is_in_it():
    head, _ = SOURCE.split("        try:")
    assert without("try:") == head + "        pass\n"


def test_an_elif_becomes_an_else_with_nothing_in_it():
    head, rest = SOURCE.split("        elif")
    _, tail = rest.split("            )\n")
    assert without("elif self.locked:") == head + "        else: pass\n" + tail


@pytest.mark.parametrize("room", ROOMS)
def test_what_deleting_leaves_of_our_own_rooms_compiles_and_is_something_else(room):
    source = (ROOT / room).read_bytes()
    deletions = mutants(room, source)
    assert len(deletions) > 10
    for mutant in deletions:
        compile(mutant.source, room, "exec")
        assert mutant.source != source
    assert len({mutant.key for mutant in deletions}) == len(deletions)


def entry(**changes: object) -> reviewed.Entry:
    values = {"file": "door.py", "function": "Door.open", "statement": "self.creak()", "reason": "none"}
    return reviewed.Entry(**{**values, **changes})  # type: ignore[arg-type]


def test_a_review_holds_wherever_the_statement_stands_and_however_it_is_laid_out():
    moved = SOURCE.replace("    def open", "    # a comment\n\n    def open").replace(
        "(\n                ", "("
    )
    statement = 'elif self.locked:\n    raise ValueError("locked")'
    for source in (SOURCE, moved):
        assert reviewed.stale([entry(statement=statement)], found(source)) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"statement": "self.creek()"},
        {"function": "Door.close"},
        {"occurrence": 4},
    ],
)
def test_a_review_of_what_is_there_no_more_is_stale(changes):
    old = entry(**changes)
    assert reviewed.stale([entry(occurrence=3), old], found()) == [old]


def test_a_review_in_a_file_that_was_not_asked_about_is_not_stale():
    assert reviewed.stale([entry(file="window.py")], found()) == []


@pytest.mark.parametrize(
    ("entries", "complaint"),
    [
        (2, "stands there twice"),
        (1, "no reason"),
    ],
)
def test_a_review_needs_a_reason_and_is_written_once(tmp_path: pathlib.Path, entries, complaint):
    path = tmp_path / "reviewed.toml"
    path.write_text(
        textwrap.dedent("""\
            [[survivor]]
            file = "door.py"
            function = "Door.open"
            statement = "self.creak()"
            reason = "%s"
        """)
        * entries
        % (("heard by nobody",) * 2 if entries == 2 else " ")
    )
    with pytest.raises(ValueError, match=complaint):
        reviewed.load(path)


def test_the_reviewed_survivors_are_all_there():
    entries = reviewed.load()
    deletions = [mutant for room in ROOMS for mutant in mutants(room, (ROOT / room).read_bytes())]
    assert [str(each) for each in reviewed.stale(entries, deletions)] == []
    assert {each.file for each in entries} <= set(ROOMS)


def test_of_the_tests_that_run_a_statement_those_that_speak_of_it_come_first(tmp_path: pathlib.Path):
    common = "".join(f"def test_{number}(): knock(door)\n" for number in range(20))
    last = '@parametrize("how", ["oil"])\ndef test_hinges(how): door.creak()\n'
    (tmp_path / "test_door.py").write_text(common + last)
    tests = [f"test_door.py::test_{name}" for name in (*range(20), "hinges[oil]", "hinges[wax]")]
    for statement in ("door.creak()", "oil(door)"):
        assert named_first(tests, statement, tmp_path) == tests[-2:] + tests[:-2]
    assert named_first(tests, "knock(door)", tmp_path) == tests


def test_a_deletion_that_a_test_notices_is_told_from_one_that_it_does_not(tmp_path: pathlib.Path):
    file = "reactor/timers.py"
    source = (ROOT / file).read_bytes()
    test = "tests/unit/test_timers.py::test_a_cancelled_timer_lets_go_of_its_callback_at_once"
    workshop = Workshop(tmp_path)

    def outcomes(source: bytes, test: str = test) -> dict[str, str]:
        workshop.write(file, source)
        return {each.test: each.outcome for each in workshop.run(tests=[test], limit=60, patience=20)}

    assert outcomes(source) == {test: "passed"}
    assert outcomes(source.replace(b"self.callback = None", b"pass")) == {test: "failed"}
    assert outcomes(b"raise OSError") == {"importing the tests": "failed"}
    with pytest.raises(ToolError):
        outcomes(source, "tests/unit/test_timers.py::test_nothing")
