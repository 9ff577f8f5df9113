"""`docs/performance.md`: a finished run, with the machine it came from, for those who will not run it."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from harness.report import marks_table, section, table

#: Characters of a line of prose, as in the other documents.
WIDTH = 105

INTRODUCTION = (
    """What does a request cost, against what you would use instead? This page is one run of `make bench`,
    written by `benchmarks/publish.py` and by nobody else: results that fall behind stand here like the
    others. `benchmarks/README.md` says how they were measured, and `make bench` measures them on your
    machine.""",
    """The figure is the CPU time, user and system, that the server's process spends on a request, the
    kernel's work for it included; a C client on the other core checks every answer. CPU time and not speed,
    because it is what a server costs, and it changes least when a machine is busy. A ratio compares servers
    round by round within this run, and is the median of all rounds, with the span they lie in; one server
    runs twice, and how far it is from itself is the noise floor.""",
)

PICTURES = {
    "throughput": """Throughput against connections. Left, as it was: with small messages the client's core
    is full before a fast server's is. Right, what a second of the server's CPU time is good for.""",
    "memory": """Memory of an idle connection in the server's process, without the kernel's own for its
    sockets.""",
    "latency": """Latency when every server is offered the same load, half of what the slowest can do. It
    counts from the moment when a line was due.""",
}

MARKS = """Each mark is a ratio within the run, or a count. "At least 1" means: no dearer than the peer. One
that is missed is SHORT; NONE has no figure, because something was missing here."""

FIGURES = """`CPU µs` are a request's; their share in user and in system mode was sampled over all rounds.
`calls` are system calls, counted by strace in a phase of its own; `busy` is the share of its core that the
server used, the rest of the time it waited for the client. The last columns are its CPU time over that of
another: the limit is a server in C that does no more than it must, `ours` the state machine."""


def page(document: Mapping[str, Any], pictures: Sequence[str]) -> str:
    """Return the page. *pictures* are the names of those there are, in `performance/`."""
    parts = ["# Performance\n", *map(prose, INTRODUCTION), "## The machine\n", machine(document)]
    for name in pictures:
        parts += [f"![{name}](performance/{name}.png)\n", prose(PICTURES[name])]
    parts += ["## What we want to be true\n", prose(MARKS), marks_table(document["results"])]
    parts += ["## All figures\n", prose(FIGURES)]
    parts += [section(result, level=3) for result in document["results"]]
    return "\n".join(parts)


def machine(document: Mapping[str, Any]) -> str:
    """Return the machine, the versions, and how quiet it was."""
    conditions, settings = document["conditions"], document["settings"]
    rows = [[name, str(value)] for name, value in conditions.items() if value is not None]
    missing = ", ".join(name for name, value in conditions.items() if value is None)
    said = [
        f"**{document['quietness']['text']}**",
        f"""{settings["rounds"]} interleaved rounds of {settings["seconds"]:g} s for each server, all of
        them started anew every {settings["rounds_per_process"]} rounds;
        {sum(map(_took, document["results"])):.0f} s in all.""",
    ]
    if missing:
        said.append(f"Not there: {missing}.")
    if document["left_out"]:
        said.append(f"Left out of this run: {', '.join(document['left_out'])}.")
    return "\n".join([table(["", ""], rows) + "\n", *map(prose, said)])


def prose(text: str) -> str:
    """Return a paragraph."""
    return textwrap.fill(" ".join(text.split()), WIDTH, break_long_words=False, break_on_hyphens=False) + "\n"


def _took(result: Mapping[str, Any]) -> float:
    return result["took"] or 0.0
