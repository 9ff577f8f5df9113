"""The loop once more, as plainly as it can be said: what is registered, what is to be called, and when.

`Books` is the model, `Loop` the same interface to a real `Reactor`. Both are told the same operations, from
outside and from the programs that their callbacks carry, and both write down every call they make.
"""

from __future__ import annotations

import selectors
from typing import Any

from reactor import Reactor
from reactor.events import EVENT_READ, EVENT_WRITE, EventHandler
from reactor.timers import Timer
from tests.support.clock import ManualClock

#: An operation's name and its arguments; a program is a tuple of them.
Operation = tuple[Any, ...]
Program = tuple[Operation, ...]

#: The descriptors; each has two handlers that would like to be registered for it.
FDS = range(100_001, 100_004)


class Failed(Exception):
    """What a program raises where it says so."""


class _Player:
    """Runs programs and writes down what came of them."""

    def __init__(self) -> None:
        self.log: list[Any] = []

    def play(self, program: Program) -> None:
        for operation in program:
            self.perform(operation)

    def perform(self, operation: Operation) -> None:
        name, *arguments = operation
        if name == "fail":
            raise Failed
        try:
            getattr(self, name)(*arguments)
        except (KeyError, ValueError) as exc:
            self.log.append((operation[:3], type(exc).__name__))


class Books(_Player):
    """The model. A handler is its descriptor and a letter."""

    def __init__(self, programs: dict[tuple[int, str], dict[str, Program]], clock: ManualClock) -> None:
        super().__init__()
        self.programs = programs
        self.clock = clock
        self.registered: dict[int, tuple[str, int]] = {}
        self.gone: set[tuple[int, str]] = set()
        self.timers: dict[int, list[Any]] = {}  # by name: when, number, interval, program, whose
        self.soon: list[Program] = []
        self.number = 0

    def register(self, fd: int, letter: str, events: int) -> None:
        if fd in self.registered:
            raise KeyError
        if not events or events & ~3:
            raise ValueError
        self.registered[fd] = (letter, events)

    def modify(self, fd: int, events: int) -> None:
        if not events or events & ~3:
            raise ValueError
        self.registered[fd] = (self.registered[fd][0], events)

    def unregister(self, fd: int) -> None:
        letter, _ = self.registered.pop(fd)
        self.gone.add((fd, letter))

    def close(self, fd: int, letter: str) -> None:
        if self.registered.get(fd, ("", 0))[0] == letter:
            self.unregister(fd)

    def call_soon(self, program: Program) -> None:
        self.soon.append(program)

    def call_later(self, name: int, delay: float, program: Program) -> None:
        self._add(name, self.clock() + delay, None, program, None)

    def call_at(self, name: int, when: float, program: Program) -> None:
        self._add(name, when, None, program, None)

    def call_every(self, name: int, interval: float, program: Program) -> None:
        self._add(name, self.clock() + interval, interval, program, None)

    def call_mine(self, name: int, delay: float, fd: int, letter: str) -> None:
        self._add(name, self.clock() + delay, None, (), (fd, letter))

    def cancel(self, name: int) -> None:
        self.timers.pop(name, None)

    def _add(self, name: int, when: float, interval: float | None, program: Program, owner: Any) -> None:
        self.number += 1
        # A timer of the same name before it can't be cancelled any more, but lives.
        if name in self.timers:
            self.timers[-self.number] = self.timers.pop(name)
        self.timers[name] = [when, self.number, interval, program, owner]

    def turn(self, ready: list[tuple[int, int]]) -> None:
        self.gone.clear()
        seen = [(fd, events, *self.registered[fd]) for fd, events in ready if fd in self.registered]
        due_before = any(each[0] <= self.clock() for each in self.timers.values())
        for fd, events, letter, wanted in seen:
            handler = (fd, letter)
            if not events & wanted or handler in self.gone:
                continue
            try:
                if events & wanted & EVENT_READ:
                    self.log.append((handler, "read"))
                    self.play(self.programs[handler]["read"])
                if events & wanted & EVENT_WRITE and handler not in self.gone:
                    self.log.append((handler, "write"))
                    self.play(self.programs[handler]["write"])
            except Failed:
                self._failed(handler)
        if due_before:
            self._timers()
        soon, self.soon = self.soon, []
        for program in soon:
            self.log.append("soon")
            try:
                self.play(program)
            except Failed:
                self.log.append("reported")

    def _timers(self) -> None:
        now = self.clock()
        due = sorted((each for each in self.timers.values() if each[0] <= now), key=lambda each: each[:2])
        for each in due:
            name = next((name for name, other in self.timers.items() if other is each), None)
            if name is None:
                continue  # cancelled by one before it
            when, _, interval, program, owner = each
            if interval is None:
                del self.timers[name]
            else:
                while each[0] <= now:
                    each[0] += interval
                self.number += 1
                each[1] = self.number
            self.log.append(("timer", when))
            try:
                if owner is not None:
                    self.log.append((owner, "mine"))
                    raise Failed
                self.play(program)
            except Failed:
                if owner is None:
                    self.log.append("reported")
                else:
                    self._failed(owner)

    def _failed(self, handler: tuple[int, str]) -> None:
        self.log.append((handler, "exception"))
        self.close(*handler)

    def books(self) -> Any:
        times = sorted(each[0] for each in self.timers.values())
        return {
            "registered": self.registered,
            "gone": self.gone,
            "timers": len(times),
            "next": times[0] if times else None,
            "soon": len(self.soon),
        }


class Owner(EventHandler):
    """A handler that plays a program for each event."""

    def __init__(self, loop: Loop, fd: int, letter: str) -> None:
        self.loop, self.fd, self.letter = loop, fd, letter

    def fileno(self) -> int:
        return self.fd

    def handle_read(self) -> None:
        self._play("read")

    def handle_write(self) -> None:
        self._play("write")

    def mine(self, when: float) -> None:
        self.loop.log.append(("timer", when))
        self.loop.log.append(((self.fd, self.letter), "mine"))
        raise Failed

    def handle_exception(self, exc: BaseException) -> None:
        assert isinstance(exc, Failed), exc
        self.loop.log.append(((self.fd, self.letter), "exception"))
        self.close()

    def close(self) -> None:
        self.loop.close(self.fd, self.letter)

    def _play(self, event: str) -> None:
        handler = (self.fd, self.letter)
        self.loop.log.append((handler, event))
        self.loop.play(self.loop.programs[handler][event])


class Loop(_Player):
    """The same with a real reactor on a selector that says what it is told to say, in any order."""

    def __init__(self, programs: dict[tuple[int, str], dict[str, Program]], clock: ManualClock) -> None:
        super().__init__()
        self.programs = programs
        self.selector = OrderedSelector()
        self.reactor = Reactor(self.selector, clock=clock)
        self.handlers = {handler: Owner(self, *handler) for handler in programs}
        self.timers: dict[int, Timer] = {}

    def register(self, fd: int, letter: str, events: int) -> None:
        self.reactor.register(self.handlers[fd, letter], events)

    def modify(self, fd: int, events: int) -> None:
        self.reactor.modify(self._at(fd), events)

    def unregister(self, fd: int) -> None:
        self.reactor.unregister(self._at(fd))

    def close(self, fd: int, letter: str) -> None:
        key = self.selector.get_map().get(fd)
        if key is not None and key.data.letter == letter:
            self.reactor.unregister(key.fileobj)

    def _at(self, fd: int) -> Owner:
        return self.handlers[fd, "a"]  # found by the number

    def call_soon(self, program: Program) -> None:
        self.reactor.call_soon(self._called, "soon", program)

    def call_later(self, name: int, delay: float, program: Program) -> None:
        when = self.reactor.clock() + delay
        self.timers[name] = self.reactor.call_later(delay, self._called, ("timer", when), program)

    def call_at(self, name: int, when: float, program: Program) -> None:
        self.timers[name] = self.reactor.call_at(when, self._called, ("timer", when), program)

    def call_every(self, name: int, interval: float, program: Program) -> None:
        grid = [self.reactor.clock() + interval]

        def again() -> None:
            when = grid[0]
            while grid[0] <= self.reactor.clock():
                grid[0] += interval
            self._called(("timer", when), program)

        self.timers[name] = self.reactor.call_every(interval, again)

    def call_mine(self, name: int, delay: float, fd: int, letter: str) -> None:
        owner = self.handlers[fd, letter]
        self.timers[name] = self.reactor.call_later(delay, owner.mine, self.reactor.clock() + delay)

    def cancel(self, name: int) -> None:
        if name in self.timers:
            self.timers[name].cancel()

    def _called(self, what: Any, program: Program) -> None:
        self.log.append(what)
        try:
            self.play(program)
        except Failed:
            self.log.append("reported")
            raise

    def turn(self, ready: list[tuple[int, int]]) -> None:
        self.selector.ready = ready
        self.reactor.handle_events(0)

    def books(self) -> Any:
        mapped = self.selector.get_map().values()
        return {
            "registered": {
                key.fd: (key.data.letter, key.events) for key in mapped if isinstance(key.data, Owner)
            },
            "gone": {(handler.fd, handler.letter) for handler in self.reactor._gone},
            "timers": len(self.reactor._timers),
            "next": self.reactor._timers.next_time(),
            "soon": len(self.reactor._soon),
        }


class OrderedSelector(selectors.SelectSelector):
    """Reports what stands in `ready`, in that order, as far as it is registered and watched."""

    ready: list[tuple[int, int]] = []

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready, self.ready = self.ready, []
        keys = [(self.get_map().get(fd), events) for fd, events in ready]
        return [(key, events & key.events) for key, events in keys if key is not None and events & key.events]
