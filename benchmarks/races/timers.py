"""Timers of two loops, in turns: `python timers.py COUNT ROUNDS` prints JSON.

The answer holds, for timers that fire and for timers that are cancelled, the
CPU seconds of each loop in each round.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from reactor import Reactor

#: Timers that fire are spread over so long: many turns of the loop, each through its selector.
SPREAD = 0.05
#: Timers that are cancelled would have fired so late.
FAR = 60.0


@dataclass(frozen=True)
class Loop:
    """What a contender has to offer."""

    call_later: Callable[[float, Callable[[], None]], Any]
    run: Callable[[], Any]
    stop: Callable[[], Any]


@contextmanager
def ours() -> Iterator[Loop]:
    """Lend a new reactor."""
    with Reactor() as reactor:
        yield Loop(reactor.call_later, reactor.run, reactor.stop)


@contextmanager
def theirs() -> Iterator[Loop]:
    """Lend a new loop of asyncio's."""
    with closing(asyncio.new_event_loop()) as loop:
        yield Loop(loop.call_later, loop.run_forever, loop.stop)


def fired(loop: Loop, count: int) -> None:
    """Insert timers in no particular order, run until the last has fired."""
    left = count

    def fire() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            loop.stop()

    for number in range(count):
        # 7919 is prime: every delay comes once, neighbours are far apart.
        loop.call_later(number * 7919 % count * (SPREAD / count), fire)
    loop.run()
    if left != 0:
        sys.exit(f"{left} of {count} timers did not fire")


def cancelled(loop: Loop, count: int) -> None:
    """Insert and cancel, then run for one turn, so that cleaning up later is not free."""

    def fire() -> None:
        sys.exit("a cancelled timer fired")

    timers = [loop.call_later(FAR + number * 7919 % count * 1e-6, fire) for number in range(count)]
    for timer in timers:
        timer.cancel()
    loop.call_later(0, loop.stop)
    loop.run()


def main(count: int, rounds: int) -> None:
    """Race so many timers, so often, taking turns at going first."""
    contenders = {"reactor": ours, "asyncio": theirs}
    races = {"fired": fired, "cancelled": cancelled}
    seconds: dict[str, dict[str, list[float]]] = {race: {name: [] for name in contenders} for race in races}
    for number in range(rounds):
        order = list(contenders)[:: -1 if number % 2 else 1]
        for race, run in races.items():
            for name in order:
                with contenders[name]() as loop:
                    gc.collect()
                    start = time.process_time()
                    run(loop, count)
                    seconds[race][name].append(time.process_time() - start)
    print(json.dumps(seconds), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
