"""`Poller`: one map's channels in a selector that is kept, and who is asked each turn.

The old loop asked everybody ``readable()`` and ``writable()`` in every turn, for any program may
override them, and built its list anew. Here a channel is one of three kinds:

- **tracked**: a dispatcher whose predicates are the stock ones. Their answers depend on a few
  attributes that tell us when they are set (`tracking`), so it is looked at when one was, and
  after its own write events; else the kernel alone knows of it. Safe, because what could
  change an answer unseen makes a channel one of the second kind: a predicate overridden in its
  class or on it, a property in place of a watched attribute, a foreign ``producer_fifo``, an
  ``out_buffer`` that grows in place. Classes are compared in every turn, for they can be patched
  (`plans`).
- **asked**: every other dispatcher. It is asked each turn, as it was; the kernel is told only of
  an answer that differs from the last.
- **loose**: whatever else stands in a map, a dispatcher that does not tell when it gets another
  socket (its class has its own ``socket``, or a ``__setattr__``), and what epoll will not take (a
  regular file). It is asked, and registered for that turn only, for its descriptor may be another
  the next time. All of a map is loose if that map is no plain dict: then nothing of it is kept.

`add_channel` and `del_channel` tell us what they do. That a program changed a map itself is seen
by comparing the map with what we have, in C, by identity first; only a difference costs more. A
large map is compared whenever there is nothing else to do, and else every few milliseconds.

Events are delivered in the order of the map. An event is for the object that was there when the
wait began: what has left the map since, or came to that number since, gets nothing. What cannot
be masked in the kernel or was not cleared by its handler (a hang-up, end of file, an urgent byte,
a failing ``accept``) has that channel rest, a little longer each time, so that it burns no core.
"""

import contextlib
import math
import os
import select
import socket
import struct
import time
import weakref
from typing import Any

try:
    import fcntl
    import termios
except ImportError:  # not on Windows, whose selectors have nothing that this is needed for
    pass

from reactor.compat.flags import ALL, ERR, GONE, HUP, IN, NVAL, OUT, PRI, RDHUP, READ
from reactor.compat.plans import Plans, is_deaf, is_mute
from reactor.compat.roster import Roster

#: Channels in a map that is large, and for each of them the seconds between two comparisons.
LARGE = 500
COMPARE_INTERVAL = 2e-6

#: Classes that are remembered after their last channel, besides one for each that is there: a program may
#: make one for each connection.
MANY = 20

#: Seconds between searches for closed sockets, made only while there is nothing else to do.
SEARCH_INTERVAL = 1.0

#: Seconds of the longest wait; epoll counts milliseconds in an int.
LONGEST_WAIT = 86400.0

#: Who is ready for what: where it stands in the map, and the events.
Ready = list[tuple[Any, int]]


class Poller(Roster):
    """A roster's turns."""

    def __init__(self, map: Any) -> None:
        super().__init__(map)
        self._ready: Ready = []
        self._special: list[tuple[Any, int]] = []  # events of this turn that may still be there
        self._next_search = 0.0
        self._next_compare = 0.0
        self._unsure = False  # the map was not compared in this turn
        _living.add(self)

    # The turn

    def prepare(self, by_select: bool) -> bool:
        """Bring the selector up to date. Returns whether there is anything to wait for."""
        self._ready.clear()  # a handler takes a turn of its own: what it has left is seen by that one
        if not self._kept:
            self._snapshot()
        if self._special:
            self._settle()
        if self._rests.ends:
            for fd in self._rests.over(time.monotonic()):
                if self._is_tracked(fd):
                    self._weigh(fd, self._seen[fd])
        stale = len(self._plans) > MANY + len(self._seen)
        for look, of, answers in self._plans.checks:
            if look(of) != answers:
                stale = True
                break
        if stale:
            self._plans = Plans()
            self.changed.extend(self._seen)
        if self._kept:
            self._try_again()
            self._look()
            self._unsure = self._may_wait_to_compare()
            if not self._unsure and (self.map != self._seen or self._equals):
                self._compare()
                self._look()
        if self._asked:
            self._ask(by_select)
            self._look()
        if self._loose:
            self._ask_loose(by_select)
        if not self._kept:
            self._seen, self._loose = {}, {}
        return bool(self._watched or self._wanted or self.host or self._rests.ends)

    def wait(self, timeout: float | None, by_select: bool) -> tuple[Ready, dict[Any, Any]]:
        """Wait, at most *timeout* seconds; then say who is ready for what, and who that was when the wait
        began: nobody else may have those events. May return early."""
        whole = timeout
        rested = self.rested_in()
        if rested is not None:
            timeout = rested if timeout is None else min(timeout, rested)
        if self.host is not None:
            self.host.wait(timeout)
            timeout = 0.0
        if timeout is not None and timeout > LONGEST_WAIT:
            timeout = LONGEST_WAIT
        if self._wanted or self._kernel is None:
            return self._wait_aside(timeout, by_select)
        if self._unsure:
            self._ready = self._in_order(self._sort(self._kernel.poll(0), by_select))
            if self._ready:
                return self._ready, self._seen
            if self.map != self._seen:
                self._next_compare = 0.0
                return [], self._seen
        self._ready = self._in_order(self._sort(self._kernel.poll(timeout), by_select))
        if not self._ready and timeout == whole:
            self._ready = self._find_lost()
        return self._ready, self._seen

    def is_unlike(self, fd: Any) -> None:
        """Who was at *fd* was found not to be there any more. Who is may say that it is equal to that one."""
        self._next_compare = 0.0
        if fd in self._seen:
            self.removed(fd)

    def _may_wait_to_compare(self) -> bool:
        """Whether a map is so large that it is not compared in every turn, but for a hundredth of the time,
        and whenever there is nothing else to do."""
        if len(self._seen) < LARGE or self.host is not None or self._loose or self._equals:
            return False
        now = time.monotonic()
        if len(self.map) == len(self._seen) and now < self._next_compare:
            return True
        self._next_compare = now + len(self._seen) * COMPARE_INTERVAL
        return False

    def _wait_aside(self, timeout: float | None, by_select: bool) -> tuple[Ready, dict[Any, Any]]:
        aside = select.poll()
        wanted, self._wanted = self._wanted, {}
        for fd, (_, _, flags) in wanted.items():
            aside.register(fd, flags)
        kernel = -1
        if self._watched:
            kernel = self._kernel.fileno()
            aside.register(kernel, IN)
        self._ready = ready = []
        here: dict[Any, Any] = self._seen
        if not self._kept:
            here = _Here()
            self._here = weakref.ref(here)
        milliseconds = None if timeout is None else math.ceil(timeout * 1000)
        for fd, flags in aside.poll(milliseconds):
            if fd == kernel:
                ready += self._sort(self._kernel.poll(0), by_select)
                continue
            key, channel, asked = wanted[fd]
            here[key] = channel
            self._sort_one(ready, key, channel, flags, asked, by_select)
        return self._in_order(ready), here

    def _in_order(self, ready: Ready) -> Ready:
        """As they stand in the map. The kernel has them in the order in which their events came."""
        if len(ready) > 1:
            places = self._places
            ready.sort(key=lambda event: places.get(event[0], 0))
        return ready

    def _sort(self, events: list[tuple[int, int]], by_select: bool) -> Ready:
        seen: dict[Any, Any] = self._seen
        for fd, flags in events:
            if flags != IN or fd not in seen:
                break
        else:
            return events
        ready: Ready = []
        for event in events:
            fd, flags = event
            if flags == IN and fd in seen:
                ready.append(event)
                continue
            channel = seen.get(fd)
            if channel is None or fd not in self._watched:
                self._stray(fd)
                if self._kernel is None:
                    break
                continue
            if flags & OUT and fd not in self._asked and not self._wants_to_write(channel):
                flags &= ~OUT  # it had, and somebody took it away
                self.changed.append(fd)
            self._sort_one(ready, fd, channel, flags, self._watched[fd], by_select)
        return ready

    def _sort_one(
        self, ready: Ready, key: Any, channel: Any, flags: int, asked: int, by_select: bool
    ) -> None:
        """Say it in the words of select(2) or of poll(2)."""
        if flags != IN:
            self._special.append((key, flags))
            if flags & ERR and is_datagram(getattr(channel, "socket", None)):
                flags = flags & ~GONE | IN  # the answer to an earlier datagram, to be had from recv
            if by_select:
                kinds = NVAL & flags
                if flags & (IN | HUP | ERR) and asked & IN:
                    kinds |= IN
                if flags & (OUT | ERR) and asked & OUT:
                    kinds |= OUT
                flags = kinds | flags & PRI
            else:
                flags &= asked & (IN | OUT) | GONE | (PRI if asked & IN else 0)
        if flags:
            ready.append((key, flags))

    def _find_lost(self) -> Ready:
        """While there is nothing to do: whose sockets were closed by somebody who did not take them out of
        the map? The kernel does not say."""
        now = time.monotonic()
        if now < self._next_search:
            return []
        self._next_search = now + SEARCH_INTERVAL
        lost = []
        for fd, flags in list(self._watched.items()):
            if _may_be_lost(getattr(self._seen.get(fd), "_now_socket", None), fd):
                try:
                    self._kernel.modify(fd, flags)
                except OSError:
                    lost.append((fd, NVAL))
        return lost

    def _settle(self) -> None:
        """After a turn: who need not be told again, and whose events are still there."""
        special, self._special = self._special, []
        for fd, flags in special:
            if fd not in self._seen:
                continue
            channel = self._seen[fd]
            plan = self._plan(channel) if self._is_tracked(fd) else None
            if flags & OUT and plan is not None:
                if is_mute(plan, channel):
                    self._told[fd] = self._told.get(fd, 0) | OUT
                self._weigh(fd, channel)
            if flags & GONE:
                if is_datagram(getattr(channel, "socket", None)):
                    with contextlib.suppress(OSError):
                        channel.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                elif not _unread(fd):
                    self.rest(fd, ALL)
            elif flags & RDHUP and not _unread(fd):
                self.rest(fd, READ)
            if flags & PRI:
                if plan is not None and is_deaf(plan, channel):
                    self._told[fd] = self._told.get(fd, 0) | PRI
                    self._weigh(fd, channel)
                else:
                    self.rest(fd, PRI)

    def _stray(self, fd: int) -> None:
        """An event of a descriptor that is not ours any more: closed here, but a child has it still."""
        try:
            self._kernel.unregister(fd)
        except (OSError, ValueError):
            if fd in self._strays:  # not only taken out a moment ago: now the selector's end alone can end it
                self.release()
            else:
                self._strays.add(fd)

    # In a reactor

    def fileno(self) -> int:
        """The selector, readable when somebody in the map is ready."""
        self._open()
        return int(self._kernel.fileno())

    def wanted(self) -> list[tuple[int, int]]:
        """What this turn's loose ones want."""
        return [(fd, flags) for fd, (_, _, flags) in self._wanted.items()]

    def watch_aside(self, aside: Any) -> None:
        """Be readable when *aside* is, until it is closed."""
        self._open()
        self._kernel.register(aside.fileno(), IN)

    def rested_in(self) -> float | None:
        """Seconds until somebody has rested."""
        return max(0.0, self._rests.ends[0][0] - time.monotonic()) if self._rests.ends else None

    # The end

    def release(self) -> None:
        """Give the selector back. It is made anew if need be."""
        if self.host is not None:
            self.host.detach()
        kernel, self._kernel = self._kernel, None
        self._strays.clear()
        self._watched.clear()
        for fd in list(self._seen):
            self.renewed(fd)
        if kernel is not None:
            kernel.close()

    def forget_in_child(self) -> None:
        """After a fork: the selector is the parent's too, and nothing may be asked of it."""
        self.host = None
        self.release()


class _Here(dict[Any, Any]):
    """A dict that does not keep what is referred to weakly."""


def is_datagram(sock: Any) -> bool:
    """Whether *sock* keeps the boundaries of messages: one of them is no reason to close it."""
    return getattr(sock, "type", None) == socket.SOCK_DGRAM


def _may_be_lost(sock: Any, fd: int) -> bool:
    """Whether *sock* has another descriptor than *fd*, or none: it was closed, or somebody else has *fd* now
    and reads from it, as who wraps a socket in TLS does."""
    try:
        return bool(sock.fileno() != fd)
    except AttributeError:  # no socket, or one of the program's own
        return False
    except (OSError, ValueError):
        return True


def _unread(fd: Any) -> bool:
    """Whether there is something to read before the end."""
    try:
        found = fcntl.ioctl(fd, termios.FIONREAD, b"\0\0\0\0")
    except (OSError, ValueError, TypeError, NameError):
        return False
    return bool(struct.unpack("i", found)[0])


# By the identity of their maps. Each keeps its map and is kept by the channels in it, so all of
# them go together; a dict itself cannot be referred to weakly.
_pollers: dict[int, "weakref.ref[Poller]"] = {}
_living: "weakref.WeakSet[Poller]" = weakref.WeakSet()


def poller_of(map: Any) -> Poller:
    """The poller of *map*, a new one if it has none."""
    ref = _pollers.get(id(map))
    poller = None if ref is None else ref()
    if poller is None:
        poller = Poller(map)
        number = id(map)

        def gone(ref: "weakref.ref[Poller]") -> None:
            if _pollers.get(number) is ref:
                del _pollers[number]

        _pollers[number] = weakref.ref(poller, gone)
    return poller


def existing_poller(map: Any) -> Poller | None:
    """The poller of *map*, if it has one."""
    ref = _pollers.get(id(map))
    return None if ref is None else ref()


def _after_fork_in_child() -> None:
    for poller in list(_living):
        poller.forget_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
