"""`Plan`: which channels of a class can be tracked, and which have to be asked every turn.

A class can be tracked if what it answers is known: its `readable` and `writable` are the stock
ones, which notice when one channel gets its own, the attributes that decide them are watched, and
it does not meddle with how attributes are set and read. That is looked at once for each class and,
since a program may patch its methods at any time, they are compared in every turn.
"""

import inspect
from collections.abc import Callable
from operator import attrgetter
from typing import Any

from reactor.compat.tracking import STOCK, Fifo, StockMethod, Watched, is_stock, meddles

_PREDICATES = ("readable", "writable")
_DECIDERS = ("connected", "accepting", "connecting", "producer_fifo", "out_buffer")
_WRITE = ("handle_write", "handle_write_event", "initiate_send")
_EXPT = ("handle_expt", "handle_expt_event")

#: What an ``out_buffer`` may be that grows only by being set again. A bytearray grows unseen.
_UNCHANGING = (bytes, str, type(None))


class Plan:
    """One class of channels. *check*: how to see whether the class is as it was when this was made."""

    __slots__ = ("check", "deaf", "mute", "reads", "tells", "tracked", "writable", "write")

    def __init__(self, channel_class: type) -> None:
        names = [*_PREDICATES, *_DECIDERS, *_WRITE, *_EXPT, "socket"]
        names = [name for name in names if hasattr(channel_class, name)]
        found = {name: getattr(channel_class, name) for name in names}
        plain = not meddles(channel_class)
        #: We are told when a channel gets another socket, which may have the same number.
        self.tells = plain and isinstance(found["socket"], Watched)
        known = [
            plain
            and isinstance(inspect.getattr_static(channel_class, name), StockMethod)
            and all(isinstance(found.get(decider), Watched) for decider in STOCK[found[name]])
            for name in _PREDICATES
        ]
        #: `readable` is the stock one, which always says yes.
        self.reads = known[0]
        self.writable = found["writable"]
        #: Nobody need be asked.
        self.tracked = all(known)
        #: A write event with nothing to write comes to nothing that the program could see.
        self.write = [name for name in _WRITE if name in found]
        self.mute = all(is_stock(found[name]) for name in self.write)
        #: An urgent byte comes to nothing that the program could see.
        self.deaf = all(is_stock(found[name]) for name in _EXPT)
        look: Callable[[Any], tuple[Any, ...]] = attrgetter(*_PREDICATES, *self.write)
        self.check = (look, channel_class, look(channel_class))

    def tracks(self, channel: Any) -> bool:
        """Whether this *channel* of the class need not be asked."""
        if not self.tracked:
            return False
        if channel._own_readable is not None or channel._own_writable is not None:
            return False
        if type(getattr(channel, "_now_out_buffer", None)) not in _UNCHANGING:
            return False
        fifo = channel._now_producer_fifo
        if type(fifo) is Fifo:
            fifo.seat = channel._seat
        return fifo is None or type(fifo) is Fifo


class Plans(dict[type, Plan]):
    """Those of all classes in a map, made when they are asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.checks: list[Any] = []

    def __missing__(self, channel_class: type) -> Plan:
        plan = self[channel_class] = Plan(channel_class)
        self.checks.append(plan.check)
        return plan


def is_mute(plan: Plan, channel: Any) -> bool:
    """Whether a write event would come to nothing, as *channel* is now."""
    if not plan.mute or not all(is_stock(getattr(channel, name)) for name in plan.write):
        return False
    return not (channel.connecting or (channel.connected and channel._now_producer_fifo))


def is_deaf(plan: Plan, channel: Any) -> bool:
    """Whether an urgent byte would come to nothing."""
    return plan.deaf and all(is_stock(getattr(channel, name)) for name in _EXPT)
