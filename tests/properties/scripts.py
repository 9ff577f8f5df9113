"""A machine that goes through a script of framings, compared with the model message by message."""

from __future__ import annotations

from collections.abc import Iterable

from reactor.framing import Exactly, Framing, FramingError
from reactor.machine import StateMachine
from tests.properties import naive
from tests.support.machines import resume


class Script(StateMachine):
    """Goes through *steps* again and again: the framing of each message, and whether its request
    ends there, goes on, or is held first. Compares every message with the model's."""

    def __init__(self, steps, most):
        super().__init__(most)
        self.steps = steps
        self.step = 0
        self.model = naive.Conversation(most)
        self.delivered = 0
        self._ask(first=True)

    @property
    def framing(self):
        return self.steps[self.step % len(self.steps)][0]

    def _ask(self, first):
        (self.begin_with if first else self.expect)(self.framing, self.take)

    def take(self, message):
        self.delivered += 1
        self.model.took(self.framing, message)
        _, then, hold = self.steps[self.step % len(self.steps)]
        self.step += 1
        if hold:
            self.hold()
        ends = then and self.framing != Exactly(0)  # which can't begin a request
        self._ask(first=ends)
        if ends:
            self.model.complete()


def converse(
    steps: list[tuple[Framing, bool, bool]],
    most: int | None,
    pieces: Iterable[bytes],
    releases: Iterable[bool],
) -> None:
    """Feed *pieces* to a `Script`, ending holds where *releases* says so: it has to do as the model does."""
    machine = Script(steps, most)
    later = iter(releases)
    try:
        for piece in pieces:
            machine.model.data += piece
            machine.feed(piece)
            resume(machine)
            if next(later, False):
                _release(machine)
        while machine.held:
            _release(machine)
    except FramingError:
        assert isinstance(machine.model.next(machine.framing), naive.Refused), "refused without a reason"
    else:
        answer = machine.model.next(machine.framing)
        assert isinstance(answer, naive.Incomplete), f"{answer} was left undelivered"
        assert bytes(machine._inbox) == machine.model.data


def _release(machine: Script) -> None:
    if machine.held:
        machine.release()
        machine.feed()
        resume(machine)
