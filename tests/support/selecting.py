"""Selectors for tests: one that says what it is told to say, and one that remembers what it was asked."""

from __future__ import annotations

import selectors

from tests.support.clock import ManualClock


class ScriptedSelector(selectors.SelectSelector):
    """Reports what stands in `ready` and asks no kernel, so any number does for a descriptor.

    `waits`: the timeout of every `select`. Where nothing is ready, waiting takes the clock to
    the end of the wait, at once.
    """

    def __init__(self, clock: ManualClock | None = None) -> None:
        super().__init__()
        self.clock = clock
        self.ready: dict[int, int] = {}
        self.waits: list[float | None] = []

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.waits.append(timeout)
        found = []
        for fd, events in self.ready.items():
            key = self.get_map().get(fd)
            if key is not None and events & key.events:
                found.append((key, events & key.events))
        if not found and timeout and self.clock is not None:
            self.clock.advance(timeout)
        return found


class RecordingSelector(selectors.DefaultSelector):
    """The system's selector; `calls` has the name of every change that was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []
        self.closed = False

    def register(self, fileobj, events, data=None):
        self.calls.append("register")
        return super().register(fileobj, events, data)

    def modify(self, fileobj, events, data=None):
        self.calls.append("modify")
        return super().modify(fileobj, events, data)

    def unregister(self, fileobj):
        self.calls.append("unregister")
        return super().unregister(fileobj)

    def close(self) -> None:
        self.closed = True
        super().close()

    def events_of(self, fileobj) -> int:
        """What *fileobj* is watched for; 0 if it is not registered."""
        key = self.get_map().get(fileobj)
        return 0 if key is None else key.events
