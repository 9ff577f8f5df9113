"""The drop-in for the standard library's ``socketserver``, as of Python 3.13: its names and no others.

``import reactor.socketserver as socketserver``, and nothing else changes. Programs and tests
patch that module from outside (``socketserver.threading``, ``socketserver._ServerSelector``) and
expect its classes to use what they put there. The classes live in rooms of their own, so what is
set here is set there too, wherever a room uses the very object that is replaced.
"""

import os
import selectors
import socket
import sys
import threading
from io import BufferedIOBase
from time import monotonic as time
from types import ModuleType as _ModuleType
from typing import Any as _Any

from reactor import base as _base
from reactor import forking as _forking
from reactor import handlers as _handlers
from reactor import listening as _listening
from reactor import mixins as _mixins
from reactor import servers as _servers
from reactor import threads as _threads
from reactor.base import BaseServer, _ServerSelector
from reactor.handlers import (
    BaseRequestHandler,
    DatagramRequestHandler,
    StreamRequestHandler,
    _SocketWriter,
)
from reactor.mixins import ThreadingMixIn, ThreadingTCPServer, ThreadingUDPServer
from reactor.servers import TCPServer, UDPServer
from reactor.threads import _NoThreads, _Threads

__all__ = [
    "BaseRequestHandler",
    "BaseServer",
    "DatagramRequestHandler",
    "StreamRequestHandler",
    "TCPServer",
    "ThreadingMixIn",
    "ThreadingTCPServer",
    "ThreadingUDPServer",
    "UDPServer",
]

if hasattr(os, "fork"):
    ForkingMixIn = _mixins.ForkingMixIn
    ForkingTCPServer = _mixins.ForkingTCPServer
    ForkingUDPServer = _mixins.ForkingUDPServer
    __all__ += ["ForkingMixIn", "ForkingTCPServer", "ForkingUDPServer"]

if hasattr(socket, "AF_UNIX"):
    UnixStreamServer = _servers.UnixStreamServer
    UnixDatagramServer = _servers.UnixDatagramServer
    ThreadingUnixStreamServer = _mixins.ThreadingUnixStreamServer
    ThreadingUnixDatagramServer = _mixins.ThreadingUnixDatagramServer
    __all__ += [
        "ThreadingUnixDatagramServer",
        "ThreadingUnixStreamServer",
        "UnixDatagramServer",
        "UnixStreamServer",
    ]
    if hasattr(os, "fork"):
        ForkingUnixStreamServer = _mixins.ForkingUnixStreamServer
        ForkingUnixDatagramServer = _mixins.ForkingUnixDatagramServer
        __all__ += ["ForkingUnixDatagramServer", "ForkingUnixStreamServer"]

for _name in __all__:
    globals()[_name].__module__ = __name__  # where programs find them, and look for them

_ROOMS = (_base, _servers, _listening, _threads, _forking, _mixins, _handlers)


class _Face(_ModuleType):
    def __setattr__(self, name: str, value: _Any) -> None:
        for room in _ROOMS:
            if name in vars(self) and name in vars(room) and vars(room)[name] is vars(self)[name]:
                setattr(room, name, value)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Face
