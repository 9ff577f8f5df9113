"""Sockets made right, and the errors of the system sorted by what they mean.

Everything here is about addresses, descriptors and errno; nothing knows of loops or handlers.
"""

import contextlib
import errno
import math
import os
import select
import socket
import stat
import struct
from collections.abc import Iterator
from typing import Any

#: The peer is gone, or never got here. A debug line, not a traceback.
PEER_GONE = frozenset(
    {
        errno.EPIPE,
        errno.ECONNRESET,
        errno.ECONNABORTED,
        errno.ESHUTDOWN,
        errno.ENOTCONN,
        errno.ETIMEDOUT,
        errno.EHOSTUNREACH,
        errno.ENETUNREACH,
        errno.EHOSTDOWN,
        errno.ENETDOWN,
    }
)

#: The address families of this system that have a host and a port.
_INET = {socket.AF_INET: 2, socket.AF_INET6: 4}
_UNIX = getattr(socket, "AF_UNIX", None)

#: Bytes that the kernel keeps for a slow peer, beside what is on its way.
UNSENT = 128 << 10

#: Seconds; the system counts milliseconds in an int.
LONGEST_WAIT = 1_000_000.0


def check_address(family: int, address: Any) -> None:
    """Raise `TypeError` unless *address* has the shape that *family* takes, saying which that is.

    Ranges are left to the system, whose exceptions (`OverflowError` for a port) are known.
    """
    if family in _INET:
        most = _INET[socket.AddressFamily(family)]
        if not (
            isinstance(address, tuple)
            and 2 <= len(address) <= most
            and isinstance(address[0], str | bytes | bytearray)
            and isinstance(address[1], int)
        ):
            name = "AF_INET" if most == 2 else "AF_INET6"
            raise TypeError(f"the address of an {name} socket is a tuple (host, port), not {address!r}")
    elif family == _UNIX and not isinstance(address, str | bytes | os.PathLike):
        raise TypeError(f"the address of an AF_UNIX socket is a path (str or bytes), not {address!r}")


def family_for(family: int, address: Any, dual_stack: bool | None) -> int:
    """The family of a server's socket: *family*, or ``AF_INET6`` where *address* or *dual_stack* needs it.

    Raises `ValueError` where *dual_stack* can't be had, saying why. An address of the wrong shape
    is left to whoever binds it.
    """
    if family not in _INET:
        if dual_stack is not None:
            raise ValueError("dual_stack is for servers of IP addresses")
        return family
    if not (isinstance(address, tuple) and address and isinstance(address[0], str | bytes | bytearray)):
        return family
    host = address[0] if isinstance(address[0], str) else bytes(address[0]).decode("latin-1")
    if dual_stack and not socket.has_dualstack_ipv6():
        raise ValueError("dual_stack: this system has no sockets for IPv4 and IPv6 together")
    if dual_stack is not None and _is_ipv4(host):
        raise ValueError(f"dual_stack: {host} is an IPv4 address; '' stands for every address")
    return socket.AF_INET6 if dual_stack is not None or ":" in host else family


def _is_ipv4(host: str) -> bool:
    try:
        socket.inet_pton(socket.AF_INET, host)
    except OSError:
        return False
    return True


def families_of(address: Any) -> int:
    """The family to connect to *address* with: ``AF_UNIX`` for a path, ``AF_UNSPEC`` for a tuple."""
    if isinstance(address, tuple):
        check_address(socket.AF_INET6 if len(address) > 2 else socket.AF_INET, address)
        if not 0 <= address[1] <= 65535:  # a look-up would take what is left of it
            raise OverflowError(f"the port of an address is 0 to 65535, not {address[1]}")
        return socket.AF_UNSPEC
    if _UNIX is None or not isinstance(address, str | bytes | os.PathLike):
        raise TypeError(f"an address is a tuple (host, port), or a path for a Unix socket, not {address!r}")
    return int(_UNIX)


def host_of(peer: Any) -> str | None:
    """The host in an address that has one, to count connections by; `None` for a Unix peer."""
    return str(peer[0]) if isinstance(peer, tuple) and peer else None


def is_ready(sock: Any, timeout: float, *, writing: bool) -> bool:
    """Whether *sock* can be written to, or else read from, within *timeout* seconds.

    Says yes to what can't be waited for, and to TLS with bytes that were decrypted already: the
    operation itself then tells.
    """
    if not writing and getattr(sock, "pending", int)():
        return True
    timeout = min(timeout, LONGEST_WAIT)
    try:
        if hasattr(select, "poll"):
            poll = select.poll()
            poll.register(sock, select.POLLOUT if writing else select.POLLIN)
            return bool(poll.poll(math.ceil(timeout * 1000)))
        return any(select.select([] if writing else [sock], [sock] if writing else [], [], timeout))
    except (TypeError, ValueError, OSError):
        return True


def peer_is_gone(sock: Any) -> bool:
    """Whether a connection is broken, closed here, or over in both directions. Says no when in doubt."""
    try:
        if sock.fileno() < 0:
            return True
        poll = select.poll()
        poll.register(sock, 0)
        return bool(poll.poll(0))  # POLLERR and POLLHUP need not be asked for
    except (AttributeError, TypeError, ValueError, OSError):  # no poll here, or no socket
        return False


def shut_down(sock: Any, how: int) -> None:
    """Shut a connection down, beneath TLS if there is any: that would forget its keys. It may be gone."""
    with contextlib.suppress(OSError):
        if isinstance(sock, socket.socket):
            socket.socket.shutdown(sock, how)
        else:
            sock.shutdown(how)


def no_delay(sock: socket.socket) -> None:
    """Turn Nagle's algorithm off where there is one: replies are written whole already."""
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
    except OSError:
        pass  # not over TCP: to ask for the family first costs more than to try


def show_progress(sock: socket.socket) -> None:
    """Have the kernel say that *sock*, or what a listener accepts, can be written to whenever the peer has
    taken a little, and keep little for it: Linux waits for a third of a buffer that grows to megabytes.
    See TCP_NOTSENT_LOWAT in tcp(7)."""
    if sock.family in _INET and sock.type == socket.SOCK_STREAM and hasattr(socket, "TCP_NOTSENT_LOWAT"):
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)


def limit_sending(sock: socket.socket, seconds: float | None) -> None:
    """Have a blocking `sendto` fail with `BlockingIOError` after so many seconds: a Unix peer whose queue is
    full need never read. See SO_SNDTIMEO in socket(7)."""
    if seconds is not None and hasattr(socket, "SO_SNDTIMEO"):
        micros = max(1, math.ceil(min(seconds, LONGEST_WAIT) * 1_000_000))
        with contextlib.suppress(OSError):
            sock.setsockopt(
                socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", *divmod(micros, 1_000_000))
            )


def is_connected(sock: socket.socket) -> bool:
    """Whether a connection that was begun is there. Says yes when in doubt."""
    try:
        sock.getpeername()
    except OSError as exc:
        return exc.errno != errno.ENOTCONN
    return True


def close_quietly(sock: Any) -> None:
    """Close a socket and raise no `OSError`: whatever close(2) says, the descriptor is closed."""
    try:
        sock.close()
    except OSError:
        pass


def end_quietly(sock: Any) -> None:
    """Close a connection so that its peer sees it, even if a child holds a copy. Raises no `OSError`."""
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_WR)
    close_quietly(sock)


def reset_when_closed(sock: Any) -> None:
    """Have closing *sock* drop what the system has not sent yet, and the peer see a reset: of one that takes
    nothing the system would keep it for minutes, and the end would come behind it. SO_LINGER in socket(7)."""
    with contextlib.suppress(OSError, AttributeError):  # a server's own kind of request may have none
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def claim_unix_path(path: Any, kind: int) -> None:
    """Remove a Unix socket left at *path* by a server that is gone; leave one that somebody has.

    Does nothing for an abstract address, for a path where nothing is, and for anything that
    is not a socket (binding then fails as it should).
    """
    if _is_abstract(path):
        return
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return
    except OSError:
        return
    with socket.socket(socket.AF_UNIX, kind) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        except OSError:
            pass  # somebody may be there: binding will say so
        else:
            with contextlib.suppress(OSError):
                probe.shutdown(socket.SHUT_RDWR)  # seen even if a child holds a copy of it


def check_unix_mode(mode: int | None, path: Any) -> None:
    """Raise `TypeError` or `ValueError` unless a socket file at *path* can have the permissions *mode*."""
    if mode is None:
        return
    if isinstance(mode, bool) or not isinstance(mode, int):
        raise TypeError(f"socket_mode takes permissions such as 0o660, or None, not {mode!r}")
    if not 0 <= mode <= 0o777:
        raise ValueError(f"socket_mode takes permissions from 0 to 0o777, not {mode:#o}")
    if _is_abstract(path):
        raise ValueError("socket_mode: an abstract address has no file and no permissions")


@contextlib.contextmanager
def unix_permissions(sock: socket.socket, mode: int | None, path: Any) -> Iterator[None]:
    """Around binding *sock* to *path*: its file gets the permissions *mode*, and never has more.

    Linux makes the file with the socket's own permissions less the umask, see unix(7). Elsewhere
    it may have more until it is bound, when no stream socket can be connected to yet.
    """
    if mode is None:
        yield
        return
    with contextlib.suppress(OSError):
        os.fchmod(sock.fileno(), mode)
    yield
    os.chmod(path, mode)


def unix_path_identity(path: Any) -> tuple[int, int, int] | None:
    """Device and inode of the socket file at *path*, to tell later whether it is still ours; and when it
    was made, for file systems give the number of a removed file to the next one. No `chmod` changes that."""
    if _is_abstract(path):
        return None
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns


def release_unix_path(path: Any, identity: tuple[int, int, int] | None) -> None:
    """Remove our socket file, unless somebody has put another in its place."""
    if identity is not None and unix_path_identity(path) == identity:
        with contextlib.suppress(OSError):
            os.unlink(path)


def _is_abstract(path: Any) -> bool:
    first = os.fspath(path)[:1]
    return first in ("", b"", "\0", b"\0")
