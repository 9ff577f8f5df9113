"""Network servers: the whole socketserver API, and a reactor beside it. One handler, any server.

The public names, gathered from the rooms that they live in; Unix and forking servers are there
where the system has them. ``reactor.socketserver`` is the drop-in for the standard module.
"""

from reactor.connection import Connection
from reactor.connector import connect
from reactor.coroutines import AsyncStreamRequestHandler
from reactor.events import EVENT_READ, EVENT_WRITE, EventHandler
from reactor.framing import (
    Available,
    Exactly,
    Framing,
    FramingError,
    LengthPrefixed,
    Line,
    Netstring,
    ToEOF,
    Until,
)
from reactor.handlers import (
    BaseRequestHandler,
    DatagramRequestHandler,
    StateRequestHandler,
    StreamRequestHandler,
)
from reactor.limits import LimitExceeded, Limits
from reactor.loop import Reactor
from reactor.machine import StateMachine
from reactor.mixins import *  # noqa: F403 - what there is depends on the system
from reactor.mixins import __all__ as _mixins
from reactor.servers import *  # noqa: F403
from reactor.servers import __all__ as _servers
from reactor.streams import IncompleteReadError
from reactor.table import RequestState, RequestTable
from reactor.timers import Timer

__version__ = "0.1.0"

__all__ = [
    "EVENT_READ",
    "EVENT_WRITE",
    "AsyncStreamRequestHandler",
    "Available",
    "BaseRequestHandler",
    "Connection",
    "DatagramRequestHandler",
    "EventHandler",
    "Exactly",
    "Framing",
    "FramingError",
    "IncompleteReadError",
    "LengthPrefixed",
    "LimitExceeded",
    "Limits",
    "Line",
    "Netstring",
    "Reactor",
    "RequestState",
    "RequestTable",
    "StateMachine",
    "StateRequestHandler",
    "StreamRequestHandler",
    "Timer",
    "ToEOF",
    "Until",
    "connect",
]
__all__ += _mixins
__all__ += _servers
