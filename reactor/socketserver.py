"""The drop-in for the standard library's ``socketserver``: its names and no others.

``import reactor.socketserver as socketserver``. What a program patches in that module it
patches here: this module owns its globals.
"""

from reactor import mixins as _mixins
from reactor import servers as _servers
from reactor.handlers import BaseRequestHandler, DatagramRequestHandler, StreamRequestHandler
from reactor.mixins import ThreadingMixIn, ThreadingTCPServer, ThreadingUDPServer
from reactor.servers import BaseServer, TCPServer, UDPServer

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

if hasattr(_mixins, "ForkingMixIn"):
    ForkingMixIn = _mixins.ForkingMixIn
    ForkingTCPServer = _mixins.ForkingTCPServer
    ForkingUDPServer = _mixins.ForkingUDPServer
    __all__ += ["ForkingMixIn", "ForkingTCPServer", "ForkingUDPServer"]

if hasattr(_servers, "UnixStreamServer"):
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
    if hasattr(_mixins, "ForkingUnixStreamServer"):
        ForkingUnixStreamServer = _mixins.ForkingUnixStreamServer
        ForkingUnixDatagramServer = _mixins.ForkingUnixDatagramServer
        __all__ += ["ForkingUnixDatagramServer", "ForkingUnixStreamServer"]
