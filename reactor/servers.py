"""The servers, as in `socketserver`: blocking, one request at a time, unless a mix-in changes that."""

import os
import socket
from collections.abc import Callable
from typing import Any

from reactor.acceptor import is_stream
from reactor.base import BaseServer
from reactor.net import (
    check_address,
    check_unix_mode,
    claim_unix_path,
    close_quietly,
    family_for,
    limit_sending,
    release_unix_path,
    show_progress,
    unix_path_identity,
    unix_permissions,
)

__all__ = ["BaseServer", "TCPServer", "UDPServer"]


class TCPServer(BaseServer):
    """A server of stream connections, as `socketserver.TCPServer`.

    `server_address`: ``(host, port)``; port 0 takes a free one. An IPv6 host is served over IPv6,
    whatever `address_family` is. `dual_stack`: true to serve IPv4 and IPv6 with one socket (host
    ``""`` for every address), false for IPv6 alone, `None` to leave that to the system.
    `allow_reuse_address`, `allow_reuse_port`: set ``SO_REUSEADDR``, ``SO_REUSEPORT`` (where the
    system has it). `request_queue_size`: for `listen`. Raises `TypeError` for an address of the
    wrong shape, `ValueError` for a `dual_stack` that can't be had, `OSError` for an address that
    can't be bound.
    """

    address_family: int = socket.AF_INET
    socket_type: int = socket.SOCK_STREAM
    request_queue_size = 5
    allow_reuse_address = False
    allow_reuse_port = False
    dual_stack: bool | None = None

    def __init__(
        self,
        server_address: Any,
        RequestHandlerClass: Callable[[Any, Any, Any], Any],
        bind_and_activate: bool = True,
    ) -> None:
        BaseServer.__init__(self, server_address, RequestHandlerClass)
        family = family_for(self.address_family, server_address, self.dual_stack)
        if family != self.address_family:
            self.address_family = family
        self.socket = socket.socket(self.address_family, self.socket_type)
        if bind_and_activate:
            try:
                self.server_bind()
                self.server_activate()
            except BaseException:
                self.server_close()
                raise

    def server_bind(self) -> None:
        """Bind the socket; `server_address` is then what it is bound to."""
        check_address(self.address_family, self.server_address)
        inet = self.address_family in (socket.AF_INET, socket.AF_INET6)
        if self.allow_reuse_address and hasattr(socket, "SO_REUSEADDR"):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self.allow_reuse_port and hasattr(socket, "SO_REUSEPORT") and inet:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if self.dual_stack is not None and self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not self.dual_stack)
        if self.limits is not None:
            show_progress(self.socket)  # or `send_timeout` would not see it
            if not is_stream(self):
                limit_sending(self.socket, self.limits.send_timeout)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    def server_activate(self) -> None:
        """Listen."""
        self.socket.listen(self.request_queue_size)

    def server_close(self) -> None:
        """Close the listening socket."""
        super().server_close()
        close_quietly(self.socket)

    def fileno(self) -> int:
        """The descriptor of the listening socket."""
        return int(self.socket.fileno())

    def get_request(self) -> Any:
        """Accept a connection: the request and its client's address. Raises `OSError` if it is gone."""
        return self.socket.accept()

    def shutdown_request(self, request: Any) -> None:
        """Tell the peer that no more comes, then `close_request`. Shut down as well as closed, for a
        child may still hold the descriptor."""
        try:
            request.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the peer has gone first
        self.close_request(request)

    def close_request(self, request: Any) -> None:
        """Close the connection."""
        close_quietly(request)


class UDPServer(TCPServer):
    """A server of datagrams, as `socketserver.UDPServer`: a request is the pair of a datagram and
    the socket. `max_packet_size`: bytes; a longer datagram is cut."""

    allow_reuse_address = False
    allow_reuse_port = False
    socket_type = socket.SOCK_DGRAM
    max_packet_size = 8192

    def get_request(self) -> Any:
        """Receive a datagram."""
        data, client_address = self.socket.recvfrom(self.max_packet_size)
        return (data, self.socket), client_address

    def server_activate(self) -> None:
        """Nothing: datagrams need no `listen`."""

    def shutdown_request(self, request: Any) -> None:
        """Nothing to shut down."""
        self.close_request(request)

    def close_request(self, request: Any) -> None:
        """Nothing to close."""


if hasattr(socket, "AF_UNIX"):

    class _UnixPath(TCPServer):
        """What the Unix servers share: the socket file, taken over from a dead server, removed at the end."""

        address_family = socket.AF_UNIX
        #: The file's permissions, as `os.chmod` takes them; `None` leaves them to the umask.
        socket_mode: int | None = None
        _path_identity: tuple[int, int, int] | None = None
        _path_owner: int | None = None

        def server_bind(self) -> None:
            """Bind the path, removing a socket there that nobody listens on."""
            check_address(self.address_family, self.server_address)
            self.server_address = os.fspath(self.server_address)
            check_unix_mode(self.socket_mode, self.server_address)
            if self._path_identity is None:  # or it is our own that nobody listens on yet
                claim_unix_path(self.server_address, self.socket_type)
            with unix_permissions(self.socket, self.socket_mode, self.server_address):
                super().server_bind()
                self._path_identity = unix_path_identity(self.server_address)
                self._path_owner = os.getpid()

        def server_close(self) -> None:
            """Close the socket and remove its file, if it is still ours."""
            super().server_close()
            if self._path_owner == os.getpid():  # a forked child does not own it
                release_unix_path(self.server_address, self._path_identity)
            self._path_identity = None

    class UnixStreamServer(_UnixPath):
        """`TCPServer` on a Unix socket, as `socketserver.UnixStreamServer`; the address is a path.
        `socket_mode`: the permissions of its file, such as ``0o660``, never more for a moment."""

    class UnixDatagramServer(_UnixPath, UDPServer):
        """`UDPServer` on a Unix socket, as `socketserver.UnixDatagramServer`; the address is a path.
        `socket_mode` as above."""

    __all__ += ["UnixDatagramServer", "UnixStreamServer"]
