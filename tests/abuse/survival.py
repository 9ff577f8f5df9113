"""`survive`: one row on one program, and what has to hold after every row."""

from __future__ import annotations

import re
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from tests.abuse.bystander import PACE, Bystander
from tests.abuse.contenders import Program
from tests.abuse.lines import reply
from tests.abuse.peer import DatagramPeer, Peer
from tests.abuse.scene import Row, Scene, must_rest
from tests.abuse.target import Target, until

#: Seconds within which everything of the abusers' is given back once they are gone.
GIVEN_BACK = 8.0

#: By how much more than ours the others may grow: what they promise is another matter than how much.
LENIENCE = 4

#: Seconds from the moment that peers see a process's sockets close until it has ended.
DYING_TIME = 0.5


@dataclass(frozen=True)
class Figures:
    """What a row has cost. *growth*: MiB. *cpu*: seconds. *lost*, *longest_wait*: the bystander's."""

    row: str
    program: str
    growth: float
    cpu: float
    asked: int
    lost: int
    longest_wait: float
    seconds: float


def survive(row: Row, program: Program, *, lifetime: int = 120) -> Figures:
    """Run *row* on a new process of *program*; `AssertionError`, in words, if it does not survive.

    The process ends after *lifetime* seconds in any case.
    """
    settings = row.settings if program.ours else {}
    if row.ends:
        return _end_well(row, program, settings, lifetime)
    with Target(program, settings, lifetime=lifetime) as target:
        serves(target)
        before = holdings(target)
        target.begin()
        begin = time.monotonic()
        with Bystander(target, newcomers=row.newcomers, pace=0.1 if row.slow else PACE) as bystander:
            with ExitStack() as stack:
                try:
                    row.run(Scene(target, bystander, stack))
                except OSError:
                    target.must_live(DYING_TIME)  # or that is the cause, and better told
                    raise
            target.must_live()
            cpu = target.cpu_seconds()  # before those of threads and children that end are lost
            serves(target)
            bystander.finish()
        figures = Figures(
            row.name,
            program.name,
            target.growth(),
            cpu,
            bystander.asked,
            bystander.lost,
            bystander.longest_wait,
            time.monotonic() - begin,
        )
        assert not bystander.lost, (
            f"{bystander.lost} of {bystander.asked} replies to others lost: {bystander.complaints}"
        )
        most = row.growth if program.ours else row.growth * LENIENCE
        assert figures.growth <= most, f"it grew by {figures.growth:.1f} MiB, more than {most:g}"
        gives_back(target, before)
        if program.ours:
            logs_little(target, row.logged, row.traced)
        return figures


def _end_well(row: Row, program: Program, settings: dict[str, Any], lifetime: int) -> Figures:
    """The same for a row that has the server end: there is nobody to be served meanwhile."""
    with Target(program, settings, lifetime=lifetime) as target:
        serves(target)
        target.begin()
        begin = time.monotonic()
        with Bystander(target, newcomers=False) as bystander:
            bystander.finish()
            with ExitStack() as stack:
                row.run(Scene(target, bystander, stack))
        seconds = time.monotonic() - begin
        assert not target.alive, "it goes on"
        if program.ours:
            logs_little(target, row.logged, row.traced)
        return Figures(row.name, program.name, 0.0, 0.0, 0, 0, 0.0, seconds)


def serves(target: Target) -> None:
    """A new client is served."""
    line = b"are you there?\n"
    client = DatagramPeer if target.program.kind == "datagrams" else Peer
    try:
        with client(target.address, host="127.0.0.8") as peer:
            assert peer.ask(line) == reply(line), "a new client gets a wrong answer"
    except OSError as exc:
        target.must_live()
        raise AssertionError(f"a new client is not served: {exc!r}") from None


def holdings(target: Target) -> tuple[int, int, int]:
    """Its descriptors, threads and children, when those of earlier clients are gone."""
    last = None
    while (now := (target.descriptors(), target.threads(), target.children())) != last:
        last = now
        time.sleep(0.03)  # until two looks agree
    return now


def gives_back(target: Target, before: tuple[int, int, int]) -> None:
    """Descriptors, threads and children are as before, and it rests."""

    def given_back() -> bool:
        now = target.descriptors(), target.threads(), target.children()
        return all(after <= earlier for after, earlier in zip(now, before, strict=True))

    try:
        until(given_back, "not given back", GIVEN_BACK)
    except AssertionError:
        words = ("descriptors", "threads", "children")
        now = target.descriptors(), target.threads(), target.children()
        kept = [f"{n} {w}, {b} before" for w, b, n in zip(words, before, now, strict=True) if n > b]
        raise AssertionError(f"it keeps {'; '.join(kept)}") from None
    must_rest(target)


def logs_little(target: Target, worth_a_line: bool, worth_a_traceback: bool) -> None:
    """No traceback where no handler has a bug, no line about what happens every day, and no cause has more
    than a line a second; a child logs for itself."""
    lines = target.log_lines()
    tracebacks = sum(line.startswith("Traceback") for line in lines)
    assert worth_a_traceback or not tracebacks, (
        f"a traceback that a peer caused ({tracebacks} of them): {lines[-1]}"
    )
    assert worth_a_line or not lines, f"this is not worth a line: {lines[0]}"
    if target.program.forks or worth_a_traceback:  # a handler's error is told each time
        return
    most = time.monotonic() - target.started + 1
    for cause, count in Counter(re.sub(r"[0-9.]+", "#", line) for line in lines).items():
        assert count <= most, f"{count} lines in {most:.0f} s: {cause}"
