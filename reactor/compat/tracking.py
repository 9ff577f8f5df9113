"""What tells a `Poller` that a channel's answers may have changed, so that it need not be asked.

Each channel that a poller has taken on has a `Seat`, which says where it sits: in which poller,
under which descriptor. `Watched` attributes, a `StockMethod` that is replaced on an instance, and
a `Fifo` that is no longer empty tell that seat. They are descriptors and a deque, not a
``__setattr__``: all other attributes of a program's classes cost what they cost before.

Only what can *add* an interest has to be told. An answer that turned from yes to no is noticed
when the event comes that it no longer wants.
"""

import inspect
from collections import deque
from collections.abc import Callable, Iterable
from operator import attrgetter
from types import MethodType
from typing import Any, Protocol

#: What decides whether a channel is open, which is then known without asking for them at each event.
_OPENING = ("connected", "accepting")

#: A class that has its own of these may do anything when an attribute is set.
MACHINERY = ("__setattr__", "__delattr__", "__getattribute__")


def meddles(cls: type) -> bool:
    """Whether *cls* sets or gets its attributes in a way of its own."""
    return any(getattr(cls, name) is not getattr(object, name) for name in MACHINERY)


class Poller(Protocol):
    """The part of `polling.Poller` that a seat needs."""

    changed: deque[Any]

    def rest(self, fd: Any, flags: int, seconds: float) -> None: ...
    def renewed(self, fd: Any) -> None: ...
    def seats(self, fd: Any, channel: Any) -> bool: ...


class Seat:
    """A channel's place in a poller. Once it has left, `poller` is `None`."""

    __slots__ = ("fd", "poller")

    def __init__(self, poller: Poller, fd: Any) -> None:
        self.poller: Poller | None = poller
        self.fd = fd

    def tell(self) -> None:
        """The channel has changed. Any thread may call it."""
        poller = self.poller
        if poller is not None:
            poller.changed.append(self.fd)

    def renew(self) -> None:
        """The descriptor may be another now, of the same number: its events of this turn are not ours."""
        poller = self.poller
        if poller is not None:
            poller.renewed(self.fd)

    def rest(self, flags: int, seconds: float) -> None:
        """Have the channel get no such events for some time."""
        poller = self.poller
        if poller is not None:
            poller.rest(self.fd, flags, seconds)


def _become(channel: Any, other: Any) -> None:
    _class_of.__set__(channel, other)
    object.__setattr__(channel, "_now_open", False)  # for all that is known
    _tell(channel)


_class_of: Any = vars(object)["__class__"]


class Channel:
    """What a poller can keep track of. Anything else in a map is asked every turn.

    ``_now_…`` is what a `Watched` attribute was last set to, ``_own_…`` what stands in place of a
    `StockMethod` on this instance.
    """

    __class__: Any = property(type, _become)  # whose answers may be others

    _seat: Seat | None = None
    _now_socket: Any = None
    _now_connected: Any = False
    _now_accepting: Any = False
    _now_open = False  #: connected and not accepting, and the class has no say in it
    _now_connecting: Any = False
    _watches_opening = True
    _now_producer_fifo: Any = None
    _own_readable: Any = None
    _own_writable: Any = None
    _own_handle_write: Any = None
    _own_handle_write_event: Any = None
    _own_handle_expt: Any = None
    _own_handle_expt_event: Any = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """A class that sets or gets its attributes in a way of its own has plain ones, and is asked."""
        super().__init_subclass__(**kwargs)
        cls._watches_opening = all(
            isinstance(inspect.getattr_static(cls, name), Watched) for name in _OPENING
        )
        if not meddles(cls):
            return
        for name in dir(cls):
            found = inspect.getattr_static(cls, name)
            if isinstance(found, StockMethod):
                setattr(cls, name, found.function)
            elif isinstance(found, Watched):
                setattr(cls, name, getattr(Channel, f"_now_{name}", None))


#: The functions whose answers are known without calling them, and the attributes that decide them.
STOCK: dict[Any, tuple[str, ...]] = {}


def stock(function: Any) -> Any:
    """Mark a function of ours that does nothing that a program could see, so that it need not be called."""
    STOCK[function] = ()
    return function


def hook(function: Any) -> Any:
    """The same of a hook, which a program may put in place on one channel, at any time."""
    return StockMethod(stock(function))


def is_stock(function: Any) -> bool:
    """Whether *function*, or that of a bound method, is one of ours that need not be called."""
    try:
        return getattr(function, "__func__", function) in STOCK
    except TypeError:  # not hashable, whatever it is
        return False


class StockMethod:
    """A stock predicate or hook: a method that notices when an instance gets one of its own.

    It stands in for the class's method only; what a subclass defines is that subclass's. Called
    as a function of the class, or through ``super()``, it is the plain function.
    """

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function
        self.__doc__ = function.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name
        self.place = f"_own_{name}"

    def __get__(self, channel: Any, owner: type | None = None) -> Any:
        if channel is None:
            return self.function
        own = getattr(channel, self.place)
        if own is not None and inspect.getattr_static(type(channel), self.name) is self:
            return own  # and this is not a subclass's method that asks its super()
        return MethodType(self.function, channel)

    def __set__(self, channel: Any, value: Any) -> None:
        object.__setattr__(channel, self.place, value)
        _tell(channel)

    def __delete__(self, channel: Any) -> None:
        if getattr(channel, self.place) is None:
            raise AttributeError(self.name)
        object.__delattr__(channel, self.place)
        _tell(channel)


def predicate(*decided_by: str) -> Callable[[Any], Any]:
    """Make a stock predicate of a method whose answer depends on these watched attributes only."""

    def mark(function: Callable[[Any], Any]) -> StockMethod:
        STOCK[function] = decided_by
        return StockMethod(function)

    return mark


class Watched(property):
    """An attribute whose every assignment is told. Of the class it is false, as its default was.

    Nothing here may touch a ``__dict__``: from then on, Python 3.11 would read every attribute of
    that channel at twice the price.
    """

    def __init__(self, name: str, *, anew: bool = False) -> None:
        place = f"_now_{name}"
        opens = name in _OPENING

        def put(channel: Any, value: Any) -> None:
            object.__setattr__(channel, place, value)
            if opens and channel._watches_opening:
                is_open = bool(channel._now_connected and not channel._now_accepting)
                object.__setattr__(channel, "_now_open", is_open)
            seat = channel._seat
            if seat is not None:
                if anew:  # the descriptor may be another now
                    seat.renew()
                else:
                    seat.tell()

        def take_away(channel: Any) -> None:
            object.__delattr__(channel, place)
            _tell(channel)

        super().__init__(attrgetter(place), put, take_away)

    def __bool__(self) -> bool:
        return False


def _tell(channel: Any) -> None:
    seat = channel._seat
    if seat is not None:
        seat.tell()


class Fifo(deque[Any]):
    """A ``producer_fifo`` that tells its channel's seat when there is something in it again."""

    __slots__ = ("seat",)

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.seat: Seat | None = None

    def append(self, item: Any) -> None:
        super().append(item)
        self._grown()

    def appendleft(self, item: Any) -> None:
        super().appendleft(item)
        self._grown()

    def insert(self, index: int, item: Any) -> None:
        super().insert(index, item)
        self._grown()

    def extend(self, items: Iterable[Any]) -> None:
        super().extend(items)
        self._grown()

    def extendleft(self, items: Iterable[Any]) -> None:
        super().extendleft(items)
        self._grown()

    def __iadd__(self, items: Any) -> Any:  # type: ignore[misc]
        self.extend(items)
        return self

    def _grown(self) -> None:
        seat = self.seat
        if seat is not None:
            seat.tell()
