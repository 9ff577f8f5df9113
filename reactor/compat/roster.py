"""`Roster`: who is in a map, what they want, and what the kernel was told. The essay is in `polling`."""

import contextlib
import errno
import itertools
import select
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from reactor.compat.flags import OUT, PRI, READ, SHORTAGE
from reactor.compat.plans import Plan, Plans
from reactor.compat.resting import Rests
from reactor.compat.tracking import Channel, Seat


class Host(Protocol):
    """What waits for a poller's selector beside others."""

    def wait(self, timeout: float | None) -> None: ...
    def attach(self) -> None: ...
    def detach(self) -> None: ...


class Roster:
    """The channels of *map*, of three kinds, and what the kernel knows of them. Belongs to the thread that
    runs the map's loop; channels may come, go and change in others."""

    def __init__(self, map: Any) -> None:
        self.map = map
        self.changed: deque[Any] = deque()  # descriptors whose channels are to be looked at
        self._fresh: dict[Any, Any] = {}  # who came, or came again, since the wait
        self._here: Callable[[], Any] = dict  # the ready ones of a map that nothing is kept of
        self.host: Host | None = None
        self._kept = _can_be_kept(map)
        self._kernel: Any = None
        self._seen: dict[Any, Any] = {}
        self._places: dict[Any, int] = {}  # in which order they came, as they stand in the map
        self._order = itertools.count()
        self._watched: dict[Any, int] = {}  # what the kernel knows
        self._asked: dict[Any, tuple[Any, bool]] = {}  # and whether `readable` is known to say yes
        self._loose: dict[Any, Any] = {}
        self._wanted: dict[int, tuple[Any, Any, int]] = {}  # in this turn, by the loose ones
        self._plans = Plans()
        self._told: dict[Any, int] = {}  # had the one event that comes to nothing
        self._rests = Rests()
        self._strays: set[int] = set()  # had an event, and are not ours
        self._refused_for_now: list[Any] = []
        self._equals = False  # somebody here has a notion of its own of what is equal to it

    # Who is there

    def added(self, fd: Any, channel: Any) -> None:
        """`add_channel` put *channel* into the map. Any thread may call it."""
        self._fresh[fd] = channel
        if fd not in self._places:
            self._places[fd] = next(self._order)
        self._seen.pop(fd, None)  # what was there, or its old socket, gets no event of this turn any more
        (self._here() or {}).pop(fd, None)

    def renewed(self, fd: Any) -> None:
        """The descriptor may be another now."""
        if fd in self._seen:
            self.added(fd, self._seen[fd])

    def removed(self, fd: Any) -> None:
        """`del_channel` took *fd* out of the map: while the descriptor is still open, so that not even a
        child that has it as well can make it come back. Any thread may call it."""
        channel = self._seen.pop(fd, self._fresh.pop(fd, None))
        self._places.pop(fd, None)
        self._forget(fd)
        seat = channel._seat if _is_channel(channel) else None
        if seat is not None and seat.poller is self and seat.fd == fd:
            seat.poller = None
            object.__setattr__(channel, "_seat", None)

    def seats(self, fd: Any, channel: Any) -> bool:
        """Whether *channel* is at *fd* here."""
        return self._seen.get(fd) is channel or self._fresh.get(fd) is channel

    def rest(self, fd: Any, flags: int, seconds: float | None = None) -> None:
        """Deliver no such events to *fd* for some time."""
        self._rests.begin(time.monotonic(), fd, flags, seconds)
        if fd in self._watched:
            self._watch(fd, self._watched[fd])

    def _forget(self, fd: Any) -> None:
        if self._watched.pop(fd, 0):
            with contextlib.suppress(OSError, ValueError):
                self._kernel.unregister(fd)
        self._asked.pop(fd, None)
        self._loose.pop(fd, None)
        self._told.pop(fd, None)
        self._strays.discard(fd)
        self._rests.forget(fd)

    def _compare(self) -> None:
        """Others changed the map: see what is different."""
        there = dict(self.map)
        for fd, channel in list(self._seen.items()):
            if fd not in there or there[fd] is not channel:
                self.removed(fd)
        for fd, channel in there.items():
            if fd not in self._seen:
                self.added(fd, channel)
        self._order = itertools.count()
        self._places = dict(zip(there, self._order, strict=False))

    def _snapshot(self) -> None:
        """The whole of a map that nothing is kept of."""
        self._loose = dict(self.map.items())
        self._seen = dict(self._loose)
        self._fresh.clear()
        self._places.clear()
        self.changed.clear()  # everybody is asked
        for fd, channel in self._loose.items():
            if _is_channel(channel):
                self._take_a_seat(fd, channel)

    def _look_at(self, fd: Any) -> None:
        """A channel came, or changed."""
        if fd not in self._seen or fd in self._loose:
            return
        self._told.pop(fd, None)
        self._rests.end(fd)
        channel = self._seen[fd]
        of: Any = type(channel)
        if of.__eq__ is not object.__eq__:
            self._equals = True
        if not (_is_channel(channel) and isinstance(fd, int) and self._take_a_seat(fd, channel)):
            self._loose[fd] = channel
            return
        plan = self._plan(channel)
        if not plan.tells:
            self._loose[fd] = channel
        elif plan.tracks(channel):
            self._asked.pop(fd, None)
            self._weigh(fd, channel)
        else:
            self._asked[fd] = (channel, plan.reads and channel._own_readable is None)

    def _look(self) -> None:
        """See who came and who changed."""
        while self._fresh:
            for fd in list(self._fresh):
                channel = self._fresh.pop(fd, None)
                if channel is not None:
                    self._forget(fd)
                    self._seen[fd] = channel
                    self._look_at(fd)
        changed = self.changed
        while changed:
            self._look_at(changed.popleft())

    def _take_a_seat(self, fd: Any, channel: Channel) -> bool:
        seat = channel._seat
        if seat is not None and seat.poller is not None:
            if seat.poller is self and seat.fd == fd:
                return True
            if seat.poller.seats(seat.fd, channel):
                return False  # it is in two places, and can tell one
        object.__setattr__(channel, "_seat", Seat(self, fd))
        return True

    def _plan(self, channel: Any) -> Plan:
        return self._plans[type(channel)]

    def _is_tracked(self, fd: Any) -> bool:
        return fd in self._seen and fd not in self._asked and fd not in self._loose

    # What they want

    def _wants_to_write(self, channel: Any) -> bool:
        """What a tracked channel would answer, and the loop make of it."""
        return self._plan(channel).writable(channel) and not channel.accepting

    def _weigh(self, fd: Any, channel: Any) -> None:
        """See what a tracked channel wants now."""
        flags = READ
        if self._wants_to_write(channel):
            flags |= OUT
        told = self._told.get(fd)
        if told:
            flags &= ~told
        self._watch(fd, flags)

    def _ask(self, by_select: bool) -> None:
        """Ask those whose answers we cannot know."""
        get = self.map.get
        watched = self._watched
        for fd, (channel, reads) in list(self._asked.items()):
            if get(fd) is not channel:
                continue  # one before it took it out
            flags = READ if reads or channel.readable() else 0
            if channel.writable() and not channel.accepting:
                flags |= OUT | PRI if by_select else OUT
            if flags != watched.get(fd, 0):
                self._watch(fd, flags)

    def _ask_loose(self, by_select: bool) -> None:
        wanted: dict[int, tuple[Any, Any, int]] = {}
        for key, channel in list(self._loose.items()):
            flags = READ if channel.readable() else 0
            if channel.writable() and not channel.accepting:
                flags |= OUT | PRI if by_select else OUT
            flags &= ~self._rests.flags(key)
            if flags:
                wanted[_number(key)] = (key, channel, flags)
        self._wanted = wanted

    def _watch(self, fd: int, flags: int) -> None:
        """Have the kernel watch *fd* for *flags* and nothing else."""
        flags &= ~self._rests.flags(fd)
        have = self._watched.get(fd, 0)
        if flags == have:
            return
        try:
            if not flags:
                del self._watched[fd]
                self._kernel.unregister(fd)
                return
            self._open()
            if have:
                self._kernel.modify(fd, flags)
            else:
                self._kernel.register(fd, flags)
            self._watched[fd] = flags
        except (OSError, ValueError) as exc:
            self._refused(fd, flags, exc)

    def _refused(self, fd: int, flags: int, exc: Exception) -> None:
        """The kernel will not: the books are wrong, or it cannot watch such a thing."""
        self._watched.pop(fd, None)
        if not flags:
            return  # it is gone, which is what was asked for
        if getattr(exc, "errno", None) in (errno.ENOENT, errno.EEXIST):
            with contextlib.suppress(OSError, ValueError):
                self._kernel.unregister(fd)
            with contextlib.suppress(OSError, ValueError):
                self._kernel.register(fd, flags)
                self._watched[fd] = flags
                return
        self._asked.pop(fd, None)
        if fd in self._seen:
            self._loose[fd] = self._seen[fd]
            if getattr(exc, "errno", None) in SHORTAGE:
                self._refused_for_now.append(fd)

    def _try_again(self) -> None:
        """What the kernel had no room for is loose until it has."""
        again, self._refused_for_now = self._refused_for_now, []
        for fd in again:
            self._loose.pop(fd, None)
            self.changed.append(fd)

    def _open(self) -> None:
        if self._kernel is None:
            if not hasattr(select, "epoll"):
                raise RuntimeError("channels can be served in a Reactor only where there is epoll, on Linux")
            self._kernel = select.epoll()
            if self.host is not None:
                self.host.attach()


def _is_channel(channel: Any) -> bool:
    """Whether it is one indeed, not a proxy or a mock that says so."""
    return issubclass(type(channel), Channel)


def _number(key: Any) -> int:
    if isinstance(key, int):
        return key
    if not hasattr(key, "fileno"):
        raise TypeError(f"a map has descriptors for keys, or what has a fileno(), not {key!r}")
    return int(key.fileno())


def _can_be_kept(map: Any) -> bool:
    """Whether what is in *map* can be remembered and compared: a dict, as a dict is."""
    return (
        hasattr(select, "epoll")
        and isinstance(map, dict)
        and all(getattr(type(map), name) is getattr(dict, name) for name in _DICT_WAYS)
    )


_DICT_WAYS = ("__eq__", "__ne__", "__iter__", "__getitem__", "__len__", "get", "items", "keys")
