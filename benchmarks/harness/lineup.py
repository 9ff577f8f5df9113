"""A lineup: servers side by side, each with its client, all but one of them stopped.

Every contender once a round, so that noise falls on all of them alike; a round is short, for the
servers are up already. Every few rounds they are started anew: what chance did to a process (the
places of its objects in memory, the seed of its hashes) is then not the same in all rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TypeVar

from harness.contenders import Contender
from harness.figures import Result
from harness.processes import BenchmarkError, Client, Server
from harness.rounds import progress
from harness.settings import LINE_SIZE, Settings

Sample = TypeVar("Sample")


@dataclass(frozen=True)
class Member:
    """One server of a lineup and its client."""

    server: Server
    client: Client

    @property
    def contender(self) -> Contender:
        return self.server.contender


@dataclass(frozen=True)
class Talk:
    """How clients come to where they can talk, and what they say."""

    begin: Callable[[Member], None]
    #: Talk for so many seconds, return the requests.
    go: Callable[[Client, float], int]
    size: int = LINE_SIZE
    options: tuple[str, ...] = ()


class Lineup:
    """The contenders that still take part. One that fails is reported in `result` and left out.

    With it goes what was measured of it, because its samples no longer pair up with others'.
    A peer that does not start on this interpreter is skipped like one that is not installed.
    """

    def __init__(self, result: Result, contenders: Sequence[Contender], talk: Talk) -> None:
        self.result = result
        self.talk = talk
        self.contenders: list[Contender] = []
        for contender in contenders:
            if contender.missing is None:
                self.contenders.append(contender)
            elif contender.missing not in result.notes:
                result.notes.append(contender.missing)

    def measure(
        self,
        rounds: int,
        settings: Settings,
        sample: Callable[[Member], Sample],
        afterwards: Callable[[Member], None] | None = None,
    ) -> dict[Contender, list[Sample]]:
        """Return a sample a round of each; *afterwards* is for each once more, in the end."""
        samples: dict[Contender, list[Sample]] = {contender: [] for contender in self.contenders}
        for first in range(0, rounds, settings.rounds_per_process):
            with ExitStack() as stack:
                members = self._start(stack)
                for number in range(first, min(rounds, first + settings.rounds_per_process)):
                    progress(f"{self.result.name}: round {number + 1} of {rounds}")
                    for contender in self._order(number):
                        self._take_turn(members[contender], sample, samples[contender])
                if afterwards is not None and first + settings.rounds_per_process >= rounds:
                    progress(f"{self.result.name}: system calls")
                    for contender in list(self.contenders):
                        self._take_turn(members[contender], afterwards, [])
        progress("")
        return {contender: samples[contender] for contender in self.contenders}

    def _order(self, number: int) -> list[Contender]:
        """Rotated from round to round: nobody always runs after the same neighbour."""
        shift = number % len(self.contenders) if self.contenders else 0
        return self.contenders[shift:] + self.contenders[:shift]

    def _start(self, stack: ExitStack) -> dict[Contender, Member]:
        progress(f"{self.result.name}: starting {len(self.contenders)} servers")
        starting = []
        for contender in self.contenders:
            starting.append(Server(contender))
            stack.callback(starting[-1].stop)
        members = {}
        for server in starting:
            member = self._connect(server, stack)
            if member is not None:
                members[server.contender] = member
        return members

    def _connect(self, server: Server, stack: ExitStack) -> Member | None:
        try:
            stack.enter_context(server)
        except (BenchmarkError, ValueError) as error:
            if server.contender.package is None:
                self._fail(server.contender, error)
            else:
                self.contenders.remove(server.contender)
                self.result.notes.append(f"{server.contender.name}: skipped, it does not start here: {error}")
            return None
        try:
            client = stack.enter_context(Client(server, *self.talk.options, size=self.talk.size))
            member = Member(server, client)
            self.talk.begin(member)
            server.pause()
        except (BenchmarkError, OSError) as error:
            self._fail(server.contender, error)
            return None
        return member

    def _take_turn(self, member: Member, action: Callable[[Member], Sample], found: list[Sample]) -> None:
        try:
            member.server.go_on()
            found.append(action(member))
            member.server.pause()
        except (BenchmarkError, OSError) as error:  # OSError: gone while it was read
            self._fail(member.contender, error)
            member.server.stop()

    def _fail(self, contender: Contender, error: Exception) -> None:
        self.result.failures.append(f"{contender.name}: {error}")
        self.contenders.remove(contender)
