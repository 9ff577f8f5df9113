"""The report shows everything, what is missed and what has failed included."""

from harness.figures import Mark, Result, Summary
from harness.machine import Quietness
from harness.page import page
from harness.report import as_document, marks_table, section, table
from harness.settings import Settings

LATE = Result(
    "late",
    "What it is about.",
    ["server", "µs"],
    rows=[["ours", "2.00"], ["theirs", "1.00"]],
    marks=[
        Mark("late: theirs / ours", "at least", 1.0, Summary(0.5, 0.4, 0.6)),
        Mark("late: memory", "at most", 1.5, Summary(1.2, 1.1, 1.3), " KiB"),
        Mark("late: absent / ours", "at least", 1.0, None),
    ],
    notes=["a peer: skipped, it is not installed"],
    failures=["another: wrong answer on connection 3"],
    took=2.0,
)


def document():
    conditions = {"python": "3.11.7", "uvloop": None}
    return as_document([LATE], Settings(), conditions, Quietness(60.0, 0.5, 0.0), ["costs"])


def test_a_table_is_padded():
    assert table(["a", "bbb"], [["cc", "d"]]) == "| a  | bbb |\n| -- | --- |\n| cc | d   |"


def test_a_section_has_rows_notes_and_failures():
    shown = section(document()["results"][0])
    assert shown.startswith("## late\n\nWhat it is about.\n\n| server | µs   |\n")
    assert "| theirs | 1.00 |\n\n- a peer: skipped" in shown
    assert "- **FAILED** another: wrong answer" in shown


def test_a_section_without_figures_is_its_notes():
    empty = Result("none", "About.", ["server"], notes=["skipped, there is no strace"])
    assert section(as_document([empty], Settings(), {}, Quietness(1, 0, 0))["results"][0]) == (
        "## none\n\nAbout.\n\n- skipped, there is no strace\n"
    )


def test_every_mark_is_shown_with_its_verdict():
    shown = marks_table(document()["results"]).splitlines()
    lines = [[cell.strip() for cell in line.split("|")] for line in shown]
    assert lines[2][1:5] == ["late: theirs / ours", "at least 1", "0.50 (0.40-0.60)", "SHORT"]
    assert lines[3][2:5] == ["at most 1.5 KiB", "1.20 (1.10-1.30)", "PASS"]
    assert lines[4][2:5] == ["at least 1", "no figure", "NONE"]
    assert lines[-1] == ["NONE 1, PASS 1, SHORT 1"]


def test_no_marks_no_table():
    assert marks_table([]) == ""


def test_the_page_says_what_the_machine_was_doing():
    text = page(document(), ["memory"])
    assert "NOT quiet: 50% of the machine" in " ".join(text.split())
    assert "| python | 3.11.7 |" in text
    assert "Not there: uvloop." in text
    assert "Left out of this run: costs." in text
    assert "![memory](performance/memory.png)" in text
    assert "performance/latency.png" not in text
    assert marks_table(document()["results"]) in text
    assert "### late\n" in text
