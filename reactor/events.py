"""`EventHandler`: the contract between the loop and whatever owns a descriptor."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import singledispatch
from selectors import EVENT_READ, EVENT_WRITE
from typing import Any, ClassVar

from reactor.log import logger

__all__ = [
    "EVENT_READ",
    "EVENT_WRITE",
    "CallbackHandler",
    "ConcurrentHandler",
    "DescriptorLost",
    "EventHandler",
    "event_handler_of",
]


class DescriptorLost(OSError):
    """A descriptor was closed while it was registered, and the system has given its number away."""


class EventHandler(ABC):
    """What a `Reactor` calls when a descriptor is ready.

    All methods are called by the loop, in the thread that runs it, one at a time. Events are
    level-triggered and may be spurious: a handler must bear a `handle_read` with nothing to
    read. Whatever a method raises costs this handler only: it goes to `handle_exception`.
    An abstract class, so that nothing is ever guessed from the names of methods.
    """

    __slots__ = ()

    #: Whether a call of this handler can take long enough to hold up everyone else.
    may_block: ClassVar[bool] = False

    @abstractmethod
    def fileno(self) -> int:
        """The descriptor to watch, the same for as long as the handler is registered."""

    def handle_read(self) -> None:
        """Called when reading would not block (``EVENT_READ``), end of file included."""

    def handle_write(self) -> None:
        """Called when writing would not block (``EVENT_WRITE``)."""

    def handle_exception(self, exc: BaseException) -> None:
        """Called inside the ``except`` with what one of the other methods, or a timer's or any
        other callback that is a method of this object, raised. Logs it and closes this handler."""
        logger.error("%r raised %s; closing it", self, type(exc).__name__, exc_info=exc)
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Unregister and release the descriptor. Calling it again does nothing."""

    def handle_lost(self, exc: DescriptorLost) -> None:
        """Called, inside the ``except``, when the descriptor was closed by somebody who did not
        unregister it, and its number is another's now: it is registered no more. An error like others."""
        self.handle_exception(exc)

    def handle_registered(self) -> None:
        """Called once, when `Reactor.register` has accepted a handler that was offered to it."""

    def handle_unregistered(self) -> None:
        """Called when such a handler is unregistered, by whomever."""

    def stop_accepting(self) -> None:
        """Called once when the reactor drains: take on nothing new. Does nothing by default."""


class ConcurrentHandler(EventHandler):
    """A handler whose requests go on elsewhere, in threads or processes. Draining asks it about them,
    after `stop_accepting`, at the end of each turn: it has to see to it that there is one."""

    __slots__ = ()

    @property
    @abstractmethod
    def drain_timeout(self) -> float | None:
        """Seconds to wait for them, `None` for as long as it takes."""

    @abstractmethod
    def under_way(self) -> int:
        """How many there are."""

    @abstractmethod
    def lingers(self) -> bool:
        """Whether all of them are complete, and only their peers are slow to go."""

    @abstractmethod
    def abandon(self) -> int:
        """Draining ends before they do, and nobody is to wait for them. How many are lost?"""


class CallbackHandler(EventHandler):
    """Any descriptor with any callable: what ``register(fileobj, events, callback)`` makes.

    The callback gets the ready event, ``EVENT_READ`` or ``EVENT_WRITE``, and is called once for
    each. The descriptor stays its owner's: `close` only unregisters it.
    """

    __slots__ = ("_callback", "_fd", "_unregister")

    def __init__(
        self, fd: int, callback: Callable[[int], object], unregister: Callable[[int], object]
    ) -> None:
        self._fd = fd
        self._callback = callback
        self._unregister = unregister

    def __repr__(self) -> str:
        return f"<{type(self).__name__} fd={self._fd} callback={self._callback!r}>"

    def fileno(self) -> int:
        return self._fd

    def handle_read(self) -> None:
        self._callback(EVENT_READ)

    def handle_write(self) -> None:
        self._callback(EVENT_WRITE)

    def handle_lost(self, exc: DescriptorLost) -> None:
        logger.error("%r: %s", self, exc)  # and there is nothing to close

    def close(self) -> None:
        self._unregister(self._fd)


@singledispatch
def event_handler_of(fileobj: Any, reactor: Any) -> EventHandler:
    """The handler that *fileobj* is, or offers by a method ``event_handler(reactor)``.

    Types that do neither can be taught here (``event_handler_of.register``), as the standard
    library's servers are. Raises `TypeError` for anything else.
    """
    if isinstance(fileobj, EventHandler):
        return fileobj
    offer = getattr(fileobj, "event_handler", None)
    if offer is None:
        raise TypeError(
            f"{fileobj!r} is no EventHandler and offers none: pass one, or a callable, as "
            "register(fileobj, events, handler)"
        )
    handler = offer(reactor)
    if not isinstance(handler, EventHandler):
        raise TypeError(f"{fileobj!r}.event_handler() must return an EventHandler, not {handler!r}")
    return handler
