"""The clients' event loop: each client is a generator, which yields what it waits for.

    ready = yield Wait(peer, EVENT_READ, 10.0)     until its socket is readable; `Impatient` after 10 s
    yield Wait(None, 0, 0.5)                       half a second

A thousand clients wait with patience that almost never ends, so that is looked at once a second for all of
them; only those that sleep are in the heap.
"""

from __future__ import annotations

import heapq
import itertools
import selectors
from collections.abc import Callable, Generator
from time import monotonic
from typing import Any, NamedTuple, Protocol

EVENT_READ = selectors.EVENT_READ
EVENT_WRITE = selectors.EVENT_WRITE

#: Seconds between looks at whose patience is over.
LOOK_AROUND = 1.0


class Impatient(Exception):
    """Nothing came in the time that a client would wait."""


class Waiter(Protocol):
    """What can be waited for: a socket, and what it is now watched for and by whom."""

    watched: int
    client: Client | None

    def fileno(self) -> int: ...


class Wait(NamedTuple):
    """For *events* on *waiter*'s socket, at most *seconds*; without a waiter, just so long."""

    waiter: Any
    events: int
    seconds: float


Script = Generator[Wait, int, None]


class Client:
    """One script under way."""

    __slots__ = ("deadline", "done", "script", "wait")

    def __init__(self, script: Script, done: Callable[[], object] | None) -> None:
        self.script = script
        self.done = done
        self.wait: Wait | None = None
        self.deadline = 0.0


class Loop:
    """Runs scripts. *crashed* is told of one that raised: a bug in it, for it should catch what peers do.

    `turns`, and `longest_turn`: the most seconds of one, which is what a client may have waited for us.
    """

    def __init__(self, crashed: Callable[[BaseException], object]) -> None:
        self._selector = selectors.DefaultSelector()
        self._clients: set[Client] = set()
        self._sleepers: list[tuple[float, int, Client]] = []
        self._order = itertools.count()
        self._crashed = crashed
        self._looked = monotonic()
        self.turns = 0
        self.longest_turn = 0.0

    def __len__(self) -> int:
        return len(self._clients)

    def __contains__(self, client: object) -> bool:
        return client in self._clients

    def start(self, script: Script, done: Callable[[], object] | None = None) -> Client:
        """Run *script* from its beginning; call *done* when it has ended, but not if it is stopped."""
        client = Client(script, done)
        self._clients.add(client)
        self._step(client, 0)
        return client

    def stop(self, client: Client) -> None:
        """End a script where it is; what it opened with ``with`` is closed."""
        if client in self._clients:
            self._clients.discard(client)
            self._leave(client)
            client.script.close()

    def close(self) -> None:
        """Stop all of them."""
        for client in list(self._clients):
            self.stop(client)
        self._selector.close()

    def run(self, until: Callable[[], bool], seconds: float) -> bool:
        """Take turns until *until* says so, at most so many seconds; returns what it said last."""
        deadline = monotonic() + seconds
        while not until():
            left = deadline - monotonic()
            if left <= 0:
                return False
            self._turn(min(left, 0.05))
        return True

    def forget(self, waiter: Waiter) -> None:
        """*waiter*'s socket is about to be closed."""
        if waiter.watched:
            self._selector.unregister(waiter)
            waiter.watched = 0

    def _turn(self, seconds: float) -> None:
        if self._sleepers:
            seconds = max(0.0, min(seconds, self._sleepers[0][0] - monotonic()))
        ready = self._selector.select(seconds)
        began = monotonic()
        for key, events in ready:
            waiter: Waiter = key.fileobj  # type: ignore[assignment]
            client = waiter.client
            if not waiter.watched:
                continue  # closed in this turn
            if client is None or client.wait is None or client.wait.waiter is not waiter:
                self.forget(waiter)  # nobody waits for it any more
            elif events & client.wait.events:
                self._step(client, events)
        self._wake(began)
        if began - self._looked > LOOK_AROUND:
            self._looked = began
            for client in [client for client in self._clients if client.deadline < began]:
                if client in self._clients and client.deadline < began:
                    self._step(client, 0, Impatient())
        self.turns += 1
        self.longest_turn = max(self.longest_turn, monotonic() - began)

    def _wake(self, now: float) -> None:
        while self._sleepers and self._sleepers[0][0] <= now:
            _, _, client = heapq.heappop(self._sleepers)
            if client in self._clients:
                self._step(client, 0)

    def _step(self, client: Client, ready: int, raised: BaseException | None = None) -> None:
        """Run *client* up to its next wait."""
        self._leave(client)
        script = client.script
        try:
            if client.deadline == 0.0:
                wait = next(script)
            elif raised is not None:
                wait = script.throw(raised)
            else:
                wait = script.send(ready)
        except StopIteration:
            self._ended(client)
            return
        except Exception as exc:
            self._crashed(exc)
            self._ended(client)
            return
        now = monotonic()
        client.wait = wait
        if wait.waiter is None:
            # Slept too long is no impatience: the heap alone wakes it.
            client.deadline = now + wait.seconds + 3600
            heapq.heappush(self._sleepers, (now + wait.seconds, next(self._order), client))
            return
        client.deadline = now + wait.seconds
        waiter: Waiter = wait.waiter
        waiter.client = client
        if waiter.watched != wait.events:
            if waiter.watched:
                self._selector.modify(waiter, wait.events)
            else:
                self._selector.register(waiter, wait.events)
            waiter.watched = wait.events

    def _leave(self, client: Client) -> None:
        """It waits no more. The selector is told only if something comes that nobody waits for."""
        if client.wait is not None and client.wait.waiter is not None:
            client.wait.waiter.client = None
        client.wait = None

    def _ended(self, client: Client) -> None:
        self._clients.discard(client)
        if client.done is not None:
            client.done()
