"""`Row`: a behaviour with its bounds. `Scene`: what a row is given to be nasty with."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from tests.abuse.bystander import Bystander
from tests.abuse.contenders import Program
from tests.abuse.peer import DatagramPeer, Peer
from tests.abuse.target import POLL, Target, until


class CannotTell(Exception):
    """This machine, or this user, cannot do what the row does."""


#: Connections, or children, that the bystander may have at any time.
BYSTANDERS = 2

#: Descriptors of this process that are no peer's of a crowd.
SPARE_DESCRIPTORS = 200


class Scene:
    """One row at work. `peer` and `datagram_peer` make clients, which are closed when the row is over.

    A `peer` that is not *hasty* comes when there is room in the accept queue: where there is none the
    kernel has newcomers try again after a second, which is not what most rows are about.
    """

    def __init__(self, target: Target, bystander: Bystander, stack: ExitStack) -> None:
        self.target = target
        self.program = target.program
        self.bystander = bystander
        self._stack = stack
        self._came = 0
        self._held = self._holds()

    def peer(self, *, hasty: bool = False, **options: Any) -> Peer:
        self._came += 1
        if not hasty and self._came % (self.program.queue - 1) == 0:
            self._await_room()
        return self._stack.enter_context(Peer(self.target.address, hasty=hasty, **options))

    def _await_room(self) -> None:
        """Have a last one accepted, or refused: then all before it are."""
        with Peer(self.target.address) as last:
            try:
                last.ask(b"am I the last?\n")
            except ConnectionError:
                pass

    def peers(self, number: int, **options: Any) -> list[Peer]:
        return [self.peer(**options) for _ in range(number)]

    def datagram_peer(self, **options: Any) -> DatagramPeer:
        return self._stack.enter_context(DatagramPeer(self.target.address, **options))

    def few(self, most: int) -> int:
        """So many clients at once, or fewer where each costs a thread or a process, or descriptors lack."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if most > soft - SPARE_DESCRIPTORS:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            self._stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        return min(most, self.program.crowd, hard - SPARE_DESCRIPTORS)

    def _holds(self) -> int:
        return self.target.descriptors() + self.target.children()

    def await_end(self) -> None:
        """Wait until those who have left are let go, but for a few: what is held for them is growth."""
        until(lambda: self._holds() <= self._held + BYSTANDERS, "those who have left are not let go")

    def must_not_spin(self) -> None:
        """Fail if the server is busy, now that nobody but the bystander asks it anything."""
        must_rest(self.target)


def must_rest(target: Target) -> None:
    """Fail if *target* runs whenever it is looked at. One that rests does so within a moment; one that
    spins never does, and on a busy machine its use of a core would not tell."""
    for _ in range(8):
        busy = 0
        for _ in range(10):
            time.sleep(POLL)
            busy += target.is_running()
        if busy < 5:
            return
    raise AssertionError("it never rests")


@dataclass(frozen=True)
class Row:
    """A behaviour. *growth*: MiB by which the server may grow. *slow*: it waits for a default limit.
    *kind*: of the programs that it is for; *waits_in*: those of ours that promise to stand it.
    *settings*: limits that are set for it, of ours alone. *newcomers*: whether new connections have
    to be served all the while. *logged*: whether it is worth a line in the log; *traced*: a traceback as
    well. *ends*: the server ends with it, and nobody is to be served after."""

    name: str
    sentence: str
    run: Callable[[Scene], None]
    growth: float
    slow: bool = False
    kind: str = "lines"
    waits_in: tuple[str, ...] = ("row", "thread", "process")
    settings: dict[str, Any] = field(default_factory=dict)
    newcomers: bool = True
    logged: bool = False
    traced: bool = False
    ends: bool = False

    def is_for(self, program: Program) -> bool:
        """Whether it makes sense to ask it of *program*."""
        return program.kind == self.kind

    def is_promised_by(self, program: Program) -> bool:
        """Whether *program* is ours and has to stand it."""
        return program.ours and self.is_for(program) and program.waits_in in self.waits_in


#: All that are defined, by name, in the order in which `rows` imports them.
ROWS: dict[str, Row] = {}


def row(
    sentence: str, *, growth: float = 4.0, **options: Any
) -> Callable[[Callable[[Scene], None]], Callable[[Scene], None]]:
    """Make a function a row, named like the function."""

    def register(run: Callable[[Scene], None]) -> Callable[[Scene], None]:
        assert run.__name__ not in ROWS, f"there is a row {run.__name__} already"
        ROWS[run.__name__] = Row(run.__name__, sentence, run, growth, **options)
        return run

    return register
