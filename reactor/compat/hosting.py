"""`HostedMap`: a map of channels in a `Reactor`, beside everything else that is registered there.

The map's own selector is one readable descriptor to the reactor. Whoever drives the reactor
serves the map, and the other way round: `Reactor.run` takes the map's turns when that descriptor
is ready, and ``asyncore.loop`` waits in ``reactor.handle_events``, so that timers, wake-ups and
other handlers have their turns there. A map is in one reactor at most.
"""

import contextlib
import os
import select
from collections.abc import Callable
from typing import Any

from reactor.compat.polling import Poller, poller_of
from reactor.events import EventHandler
from reactor.log import Throttle, place_of
from reactor.loop import Reactor
from reactor.timers import Timer


class HostedMap(EventHandler):
    """What a reactor knows of a map. *turn*: takes a turn of that map without waiting. *ends*: whether an
    exception that leaves it asks for the end of the loop. *close_all*: closes what is in the map."""

    def __init__(
        self,
        poller: Poller,
        reactor: Reactor,
        turn: Callable[[], object],
        ends: Callable[[BaseException], bool],
        close_all: Callable[[], object],
    ) -> None:
        self.reactor = reactor
        self._poller = poller
        self._turn = turn
        self._ends = ends
        self._close_all = close_all
        self._busy = False  # taking a turn, or being driven by the map's own loop
        self._registered = False
        self._aside: Any = None  # what the loose ones are waited for with
        self._alarm: Timer | None = None
        self._throttle = Throttle()
        self.attach()
        reactor.call_before_wait(self.prepare)
        poller.host = self
        _hosted[id(poller.map)] = self

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self._poller.map)} channels>"

    def fileno(self) -> int:
        return self._poller.fileno()

    def attach(self) -> None:
        """Have the reactor watch the selector."""
        if not self._registered:
            self.reactor.register(self)
            self._registered = True

    def detach(self) -> None:
        """The selector is about to be closed."""
        if self._registered:
            self._registered = False
            self.reactor.unregister(self)

    # Driven by the map's own loop

    def wait(self, timeout: float | None) -> None:
        """Take a turn of the reactor, which ends when somebody in the map is ready."""
        if self._busy:
            return
        self._busy = True
        try:
            self._wait_for_loose()
            self.reactor.handle_events(timeout if self._aside is not False else 0.0)
        finally:
            self._busy = False

    # Driven by the reactor

    def prepare(self) -> None:
        """Before each wait of the reactor: see who in the map wants what."""
        if self._busy:
            return
        self._poller.prepare(True)
        self._wait_for_loose()
        if self._aside is False:
            self.reactor.call_soon(self.handle_read)
        seconds = self._poller.rested_in()
        if seconds is not None and (self._alarm is None or not self._alarm.active):
            self._alarm = self.reactor.call_later(seconds, _awake)

    def handle_read(self) -> None:
        if self._busy:
            return
        self._busy = True
        try:
            self._turn()
        finally:
            self._busy = False

    def handle_exception(self, exc: BaseException) -> None:
        if self._ends(exc):
            self.reactor.stop()
        else:
            self._throttle.error(self.reactor.clock(), place_of(exc), f"{self!r} raised {exc!r}")

    def stop_accepting(self) -> None:
        for channel in list(self._poller.map.values()):
            if getattr(channel, "accepting", False):
                channel.close()

    def _wait_for_loose(self) -> None:
        """Have the selector become readable for those that are registered for this turn only. Some of
        them cannot be waited for, being ready always: then ``_aside`` is `False`."""
        self._end_aside()
        loose = self._poller.wanted()
        if not loose:
            return
        self._aside = aside = select.epoll()
        try:
            for fd, flags in loose:
                aside.register(fd, flags)
            self._poller.watch_aside(aside)
        except OSError:
            aside.close()
            self._aside = False

    def _end_aside(self) -> None:
        if self._aside:
            self._aside.close()  # which takes it out of the other one as well
        self._aside = None

    def close(self) -> None:
        """Close what is in the map, and be hosted no more."""
        if _hosted.pop(id(self._poller.map), None) is None:
            return
        self._end_aside()
        if self._alarm is not None:
            self._alarm.cancel()
        try:
            self._close_all()
        finally:
            self._poller.host = None
            self.reactor.cancel_before_wait(self.prepare)
            with contextlib.suppress(KeyError):
                self.detach()
            self._poller.release()


def _awake() -> None:
    pass


# A map that was given a reactor keeps it until that is closed.
_hosted: dict[int, HostedMap] = {}

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_hosted.clear)


class ChannelHandler(EventHandler):
    """Stands for one channel that was registered with a reactor by name. Its events come through the map,
    so it is never in the reactor's own selector."""

    def __init__(self, channel: Any, reactor: Reactor) -> None:
        self.channel = channel
        self.reactor = reactor

    def fileno(self) -> int:
        return int(self.channel.fileno())

    def handle_registered(self) -> None:
        self.reactor.suspend(self.channel)
        self.channel._registration = self

    def handle_unregistered(self) -> None:
        if self.channel._registration is self:
            self.channel._registration = None
            self.channel.del_channel()
        self.reactor.withdraw(self)

    def left(self) -> None:
        """The channel has left its map."""
        self.channel._registration = None
        with contextlib.suppress(KeyError, RuntimeError):
            self.reactor.unregister(self.channel)

    def close(self) -> None:
        self.channel.close()


def host_of(map: Any) -> HostedMap | None:
    """Where *map* is hosted."""
    return _hosted.get(id(map))


def host(map: Any, reactor: Reactor, **calls: Any) -> None:
    """Host *map* in *reactor*. Raises `ValueError` if it is in another one."""
    hosted = host_of(map)
    if hosted is None:
        HostedMap(poller_of(map), reactor, **calls)
    elif hosted.reactor is not reactor:
        raise ValueError("this channel's map is in another reactor: give it a map of its own")
