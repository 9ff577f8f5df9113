"""The mix-ins, and the ready-made combinations: a thread, a process or a table row for each request."""

import os
import socket

from reactor import forking, servers
from reactor.servers import TCPServer, UDPServer
from reactor.serving import ReactorMixIn
from reactor.threads import ThreadingMixIn

__all__ = [
    "ReactorMixIn",
    "ReactorTCPServer",
    "ReactorUDPServer",
    "ThreadingMixIn",
    "ThreadingTCPServer",
    "ThreadingUDPServer",
]


class ThreadingTCPServer(ThreadingMixIn, TCPServer):
    """A thread for each connection."""


class ThreadingUDPServer(ThreadingMixIn, UDPServer):
    """A thread for each datagram."""


class ReactorTCPServer(ReactorMixIn, TCPServer):
    """Ten thousand connections in one thread."""


class ReactorUDPServer(ReactorMixIn, UDPServer):
    """Datagrams, in a thread that does other things too."""


if hasattr(os, "fork"):
    ForkingMixIn = forking.ForkingMixIn

    class ForkingTCPServer(ForkingMixIn, TCPServer):
        """A process for each connection."""

    class ForkingUDPServer(ForkingMixIn, UDPServer):
        """A process for each datagram."""

    __all__ += ["ForkingMixIn", "ForkingTCPServer", "ForkingUDPServer"]


if hasattr(socket, "AF_UNIX"):

    class ThreadingUnixStreamServer(ThreadingMixIn, servers.UnixStreamServer):
        """A thread for each connection."""

    class ThreadingUnixDatagramServer(ThreadingMixIn, servers.UnixDatagramServer):
        """A thread for each datagram."""

    class ReactorUnixStreamServer(ReactorMixIn, servers.UnixStreamServer):
        """Ten thousand connections in one thread."""

    class ReactorUnixDatagramServer(ReactorMixIn, servers.UnixDatagramServer):
        """Datagrams, in a thread that does other things too."""

    __all__ += [
        "ReactorUnixDatagramServer",
        "ReactorUnixStreamServer",
        "ThreadingUnixDatagramServer",
        "ThreadingUnixStreamServer",
    ]

    if hasattr(os, "fork"):

        class ForkingUnixStreamServer(ForkingMixIn, servers.UnixStreamServer):
            """A process for each connection."""

        class ForkingUnixDatagramServer(ForkingMixIn, servers.UnixDatagramServer):
            """A process for each datagram."""

        __all__ += ["ForkingUnixDatagramServer", "ForkingUnixStreamServer"]
