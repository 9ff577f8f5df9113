"""What the tests of framings and machines share: how to drive a `StateMachine` without a connection."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from hypothesis import strategies as st

from reactor.framing import Framing, FramingError
from reactor.machine import BUDGET, StateMachine


class Recorder(StateMachine):
    """Expects one framing over and over, and keeps the messages."""

    def __init__(self, framing: Framing, max_request_size: int | None = None) -> None:
        super().__init__(max_request_size)
        self.messages: list[bytes] = []
        self.expect(framing, self.messages.append)


def resume(machine: StateMachine) -> None:
    """Take as many turns as the machine asks for, as a loop would."""
    while machine.blocked & BUDGET:
        machine.blocked &= ~BUDGET
        machine.feed()


def drive(machine: StateMachine, pieces: Iterable[bytes], eof: bool = False) -> type[Exception] | None:
    """Feed all *pieces*, each to its end; returns the type of the `FramingError` that stopped it, if any."""
    try:
        for piece in pieces:
            machine.feed(piece)
            resume(machine)
        if eof:
            machine.end_input()
            resume(machine)
    except FramingError as refused:
        return type(refused)
    return None


def messages_of(
    framing: Framing, pieces: Iterable[bytes], eof: bool = False
) -> tuple[list[bytes], type[Exception] | None]:
    """The messages that *framing* finds in *pieces*, and the type of the error that ended them."""
    machine = Recorder(framing)
    error = drive(machine, pieces, eof)
    return machine.messages, error


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    """*data* in pieces, cut at *places*, which wrap round so that every one of them counts."""
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


def every_split(data: bytes) -> list[list[bytes]]:
    """Whole, byte by byte, and in two at every place."""
    return [
        [data],
        [data[i : i + 1] for i in range(len(data))],
        *(cut(data, [i]) for i in range(1, len(data))),
    ]


#: Where to cut.
places = st.lists(st.integers(0, 400), max_size=30)
