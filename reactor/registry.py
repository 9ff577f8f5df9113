"""`Registry`: which descriptors are watched, for what, and who is called.

The part of the loop that keeps a selector's books; the words are those of `selectors`, with its
meanings. `Reactor` derives from it and does the waiting. A selector's data for each descriptor
is its `EventHandler`, so that an event carries whom to call.

A descriptor that is closed without being unregistered leaves a kernel's selector without a word, but not
these books, and the next one that is opened gets its number. So a number that is registered
already is looked at twice: the one that is there may be gone.
"""

import contextlib
import errno
import os
import selectors
from collections.abc import Callable
from typing import Any

from reactor.events import (
    EVENT_READ,
    EVENT_WRITE,
    CallbackHandler,
    DescriptorLost,
    EventHandler,
    event_handler_of,
)
from reactor.schedule import Schedule

#: What a kernel's selector says of a number that is another's now, or nobody's; see epoll_ctl(2).
_NOT_THERE = frozenset({errno.EBADF, errno.ENOENT, errno.EPERM})


class Registry(Schedule):
    """The descriptors of one loop, beside its timers and calls. Belongs to the loop's thread."""

    def __init__(
        self, selector: selectors.BaseSelector | None, clock: Callable[[], float], debug: bool
    ) -> None:
        super().__init__(clock, debug)
        if selector is not None and not isinstance(selector, selectors.BaseSelector):
            raise TypeError(f"selector takes an object such as selectors.DefaultSelector(), not {selector!r}")
        self._selector = selectors.DefaultSelector() if selector is None else selector
        self._gone: set[EventHandler] = set()  # unregistered in this turn
        self._offered: set[EventHandler] = set()  # closed with the loop, even while not registered
        self._suspended: dict[int, selectors.SelectorKey] = {}  # by id of the file object

    def register(
        self,
        fileobj: Any,
        events: int = EVENT_READ,
        handler: EventHandler | Callable[[int], object] | None = None,
        *,
        may_block: bool = False,
    ) -> selectors.SelectorKey:
        """Watch a descriptor, as `selectors.BaseSelector.register` does.

        *fileobj*: a descriptor, an object with ``fileno()``, an `EventHandler`, or a server, this
        package's or the standard library's. *events*: ``EVENT_READ | EVENT_WRITE``. *handler*: an
        `EventHandler`, or a callable that takes the event; needed unless *fileobj* is one or
        offers one. *may_block*: agree that this server's handlers can hold up the loop.

        Raises `KeyError` if the descriptor is registered already, `ValueError` if it is closed or
        *events* is wrong, `TypeError` if there is no handler.
        """
        if self._picky:
            self._check("register")
        offered = handler is None and not isinstance(fileobj, EventHandler)
        if handler is None:
            if self.registered(fileobj) and not self._evict(fileobj):
                raise _registered_already(fileobj)
            handler = event_handler_of(fileobj, self)
            if handler.may_block and not may_block:
                raise ValueError(
                    f"{fileobj!r} runs its handlers in the loop's own thread, where each can hold up "
                    "everyone: mix ThreadingMixIn or ReactorMixIn into it, or accept that with "
                    "register(..., may_block=True)"
                )
        elif not isinstance(handler, EventHandler):
            if not callable(handler):
                raise TypeError(
                    f"handler takes an EventHandler or a callable that takes the event, not {handler!r}"
                )
            fd = fileobj if isinstance(fileobj, int) else _fileno(fileobj)
            handler = CallbackHandler(fd, handler, self.unregister)
        hash(handler)  # raises TypeError here, before anything is changed
        if isinstance(fileobj, int) and not _is_open(fileobj):  # not every selector notices
            raise ValueError(f"fileobj {fileobj} is not an open descriptor")
        try:
            key = self._selector.register(fileobj, events, handler)
        except KeyError:
            if not self._evict(fileobj):
                raise _registered_already(fileobj) from None
            key = self._selector.register(fileobj, events, handler)
        if offered:
            self._offered.add(handler)
            handler.handle_registered()
        return key

    def modify(self, fileobj: Any, events: int) -> selectors.SelectorKey:
        """Change what a registered descriptor is watched for. Raises `KeyError` if it is not registered;
        `OSError` if the system has no room for it, and then it is registered no more."""
        if self._picky:
            self._check("modify")
        if not events or events & ~(EVENT_READ | EVENT_WRITE):
            raise ValueError(f"events must be EVENT_READ, EVENT_WRITE or both, not {events!r}")
        key = self._selector.get_key(fileobj)
        if key.events == events:
            return key
        # Not selectors' own modify: if that fails, the kernel may still watch what selectors has forgotten.
        self._selector.unregister(fileobj)
        return self._selector.register(fileobj, events, key.data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        """Stop watching what was registered; it gets no more events, not even those of this turn.

        Closes nothing. Raises `KeyError` if it is not registered.
        """
        if self._picky:
            self._check("unregister")
        key = self._suspended.pop(id(fileobj), None) or self._selector.unregister(fileobj)
        handler = key.data
        self._gone.add(handler)
        if handler in self._offered:
            handler.handle_unregistered()
        return key

    def suspend(self, fileobj: Any) -> None:
        """Take what is registered out of the selector, until `resume`: it counts as registered still."""
        key = self._selector.unregister(fileobj)
        self._gone.add(key.data)
        self._suspended[id(fileobj)] = key

    def resume(self, fileobj: Any, events: int) -> None:
        """End `suspend`. Does nothing for what was unregistered meanwhile. Raises `OSError` if the system
        has no room for it: it is suspended still."""
        key = self._suspended.get(id(fileobj))
        if key is not None:
            self._selector.register(fileobj, events, key.data)
            del self._suspended[id(fileobj)]

    def withdraw(self, handler: EventHandler) -> None:
        """Forget a handler that `register` was offered: `close` leaves it alone."""
        self._offered.discard(handler)

    def registered(self, fileobj: Any) -> bool:
        """Whether *fileobj* is registered here."""
        if id(fileobj) in self._suspended:
            return True
        try:
            self._selector.get_key(fileobj)
        except (KeyError, ValueError, RuntimeError):  # not registered, closed, or the selector is closed
            return False
        return True

    def _evict(self, fileobj: Any) -> bool:
        """Whether what stands in the books under *fileobj*'s number was closed behind our back: it is out."""
        key = self._selector.get_map().get(fileobj)
        if key is None or not self._is_lost(key):
            return False
        self._lose(key)
        return True

    def _evict_closed(self) -> None:
        """Take out whatever was closed behind our back: select(2) will have none of it, nor anybody else."""
        for key in list(self._selector.get_map().values()):
            if not _is_open(key.fd) or self._is_lost(key):
                self._lose(key)

    def _lose(self, key: selectors.SelectorKey) -> None:
        if self._selector.get_map().get(key.fileobj) is not None:
            self._selector.unregister(key.fileobj)
        handler = key.data
        self._gone.add(handler)
        self._offered.discard(handler)
        try:
            raise DescriptorLost(
                errno.EBADF,
                f"descriptor {key.fd} was closed behind the reactor's back: unregister() it first",
            )
        except DescriptorLost as exc:
            self._call(handler.handle_lost, (exc,))

    def _is_lost(self, key: selectors.SelectorKey) -> bool:
        """Whether the descriptor of *key* is another's now."""
        try:
            if not isinstance(key.fileobj, int) and key.fileobj.fileno() != key.fd:
                return True
        except (ValueError, OSError):  # it says that it is closed
            return True
        both = EVENT_READ | EVENT_WRITE
        try:  # a kernel's selector knows, see epoll(7)
            self._selector.modify(key.fileobj, EVENT_READ if key.events == both else both, key.data)
            self._selector.modify(key.fileobj, key.events, key.data)
        except OSError as exc:
            if exc.errno in _NOT_THERE:
                return True
            self._put_back(key)
        return False

    def _put_back(self, key: selectors.SelectorKey) -> None:
        """After a `modify` that failed for want of memory: selectors has forgotten *key*, and the kernel
        goes on watching. If there is no room at all, that is an error of its handler's."""
        if isinstance(self._selector, selectors._BaseSelectorImpl):
            with contextlib.suppress(KeyError):  # it has not forgotten
                selectors._BaseSelectorImpl.register(self._selector, key.fileobj, key.events, key.data)
            self._selector.unregister(key.fileobj)
        try:
            self._selector.register(key.fileobj, key.events, key.data)
        except OSError as exc:
            self._gone.add(key.data)
            self._failed(key.data, self._put_back, exc)

    def _handlers(self) -> set[EventHandler]:
        """All that are registered, and the servers that are out of the selector for now."""
        registered = {key.data for key in self._selector.get_map().values()}
        return registered | self._offered


def _fileno(fileobj: Any) -> int:
    try:
        return int(fileobj.fileno())
    except (AttributeError, TypeError, ValueError):
        raise ValueError(f"fileobj must be a descriptor or have a fileno(), not {fileobj!r}") from None


def _registered_already(fileobj: Any) -> KeyError:
    return KeyError(f"{fileobj!r} is registered already: use modify() to change its events")


def _is_open(fd: int) -> bool:
    """Whether this number is an open descriptor; yes where a socket is none."""
    try:
        os.fstat(fd)
    except OSError as exc:
        return exc.errno != errno.EBADF or os.name != "posix"
    return True
