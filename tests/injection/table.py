"""What can fail, and how: each call with its manual page and the errno that this page allows on Linux.

From this one table all cases are made. Pages of section 7 are named where they add to a call's own.
What no selector passes on to us is left out, with the reason beside it.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass

#: call: its manual page, and the names of what it may say.
TABLE: dict[str, tuple[str, str]] = {
    "accept": (
        "accept(2), with the pending network errors of its notes",
        "EAGAIN EBADF ECONNABORTED EFAULT EINTR EINVAL EMFILE ENFILE ENOBUFS ENOMEM ENOTSOCK EOPNOTSUPP "
        "EPERM EPROTO ETIMEDOUT ENETDOWN ENOPROTOOPT EHOSTDOWN ENONET EHOSTUNREACH ENETUNREACH",
    ),
    "recv": (
        "recv(2), tcp(7), ip(7)",
        "EAGAIN EBADF ECONNREFUSED ECONNRESET EFAULT EHOSTUNREACH EINTR EINVAL ENOMEM ENOTCONN ENOTSOCK "
        "ETIMEDOUT",
    ),
    "send": (
        "send(2), tcp(7), ip(7)",
        "EACCES EAGAIN EALREADY EBADF ECONNRESET EDESTADDRREQ EFAULT EHOSTUNREACH EINTR EINVAL EISCONN "
        "EMSGSIZE ENOBUFS ENOMEM ENOTCONN ENOTSOCK EOPNOTSUPP EPIPE ETIMEDOUT",
    ),
    "recvfrom": (
        "recv(2), udp(7)",
        "EAGAIN EBADF ECONNREFUSED EFAULT EHOSTUNREACH EINTR EINVAL ENOMEM ENOTCONN ENOTSOCK",
    ),
    "sendto": (
        "send(2), udp(7), ip(7)",
        "EACCES EAGAIN EALREADY EBADF ECONNREFUSED ECONNRESET EDESTADDRREQ EFAULT EHOSTUNREACH EINTR "
        "EINVAL EISCONN EMSGSIZE ENETUNREACH ENOBUFS ENOMEM ENOTCONN ENOTSOCK EOPNOTSUPP EPERM EPIPE",
    ),
    "getpeername": ("getpeername(2)", "EBADF EFAULT EINVAL ENOBUFS ENOTCONN ENOTSOCK"),
    "getsockname": ("getsockname(2)", "EBADF EFAULT EINVAL ENOBUFS ENOTSOCK"),
    "setsockopt": ("setsockopt(2)", "EBADF EFAULT EINVAL ENOPROTOOPT ENOTSOCK"),
    "getsockopt": ("getsockopt(2)", "EBADF EFAULT EINVAL ENOPROTOOPT ENOTSOCK"),
    "connect": (
        "connect(2)",
        "EACCES EADDRINUSE EADDRNOTAVAIL EAFNOSUPPORT EAGAIN EALREADY EBADF ECONNREFUSED EFAULT EINPROGRESS "
        "EINTR EISCONN ENETUNREACH ENOTSOCK EPERM EPROTOTYPE ETIMEDOUT",
    ),
    "register": ("epoll_ctl(2), EPOLL_CTL_ADD", "EBADF EEXIST EINVAL ELOOP ENOMEM ENOSPC EPERM"),
    "modify": ("epoll_ctl(2), EPOLL_CTL_MOD, or EPOLL_CTL_DEL and _ADD", "EBADF EINVAL ENOENT ENOMEM ENOSPC"),
    # Taking something out needs no memory: it fails only for what is not there.
    "unregister": ("epoll_ctl(2), EPOLL_CTL_DEL", "EBADF EINVAL ENOENT"),
    "epoll_wait": ("epoll_wait(2)", "EBADF EFAULT EINTR EINVAL"),
    "poll": ("poll(2)", "EFAULT EINTR EINVAL ENOMEM"),
    "close": ("close(2)", "EBADF EDQUOT EINTR EIO ENOSPC"),
    "shutdown": ("shutdown(2)", "EBADF EINVAL ENOTCONN ENOTSOCK"),
    "fork": ("fork(2)", "EAGAIN ENOMEM ENOSYS"),
    "start": ("pthread_create(3), whatever it says is Python's RuntimeError", "EAGAIN EINVAL EPERM"),
}

#: Not an error, or one that concerns nobody: whoever it happens to is served as if it had not.
HARMLESS: dict[str, str] = {
    "accept": TABLE["accept"][1],
    "recv": "EAGAIN EINTR",
    "send": "EAGAIN EALREADY EINTR",
    "recvfrom": TABLE["recvfrom"][1],
    "sendto": "EAGAIN EALREADY EINTR",
    "setsockopt": TABLE["setsockopt"][1],
    "connect": "EALREADY EINPROGRESS",
    "getpeername": TABLE["getpeername"][1],
    "unregister": TABLE["unregister"][1],
    "epoll_wait": TABLE["epoll_wait"][1],
    "poll": TABLE["poll"][1],
    "close": TABLE["close"][1],
    "shutdown": TABLE["shutdown"][1],
}

#: What happens every day, a peer's going away above all: not worth a line in the log.
SILENT: dict[str, str] = {
    "accept": "EAGAIN ECONNABORTED EINTR ETIMEDOUT ENETDOWN EHOSTDOWN EHOSTUNREACH ENETUNREACH",
    "recv": "EAGAIN EINTR ECONNRESET EHOSTUNREACH ENOTCONN ETIMEDOUT",
    "send": "EAGAIN EALREADY EINTR ECONNRESET EHOSTUNREACH ENOTCONN EPIPE ETIMEDOUT",
    "recvfrom": "EAGAIN ECONNREFUSED EHOSTUNREACH EINTR ENOTCONN",
    "sendto": "EAGAIN EALREADY ECONNREFUSED ECONNRESET EHOSTUNREACH EINTR ENETUNREACH ENOTCONN EPIPE",
    "setsockopt": TABLE["setsockopt"][1],
    "connect": HARMLESS["connect"],
    "unregister": TABLE["unregister"][1],
    "epoll_wait": "EINTR",
    "poll": "EINTR",
    "shutdown": TABLE["shutdown"][1],
}

#: Which of its calls fails.
PLACES = FIRST, SECOND, NTH = 1, 2, 5


@dataclass(frozen=True)
class Fault:
    """One call that fails: the *nth* after the fault was armed, and *times* in a row."""

    call: str
    name: str
    nth: int = FIRST
    times: int = 1

    @property
    def errno(self) -> int:
        return int(getattr(errno, self.name))

    @property
    def harmless(self) -> bool:
        return self.name in HARMLESS.get(self.call, "").split()

    @property
    def silent(self) -> bool:
        return self.name in SILENT.get(self.call, "").split()

    def error(self) -> Exception:
        """What the caller sees."""
        if self.call == "start":
            return RuntimeError("can't start new thread")
        return OSError(self.errno, os.strerror(self.errno))

    def __str__(self) -> str:
        return f"{self.call}-{self.name}-{self.nth}"


def errnos(call: str) -> list[str]:
    """What a call may say."""
    return TABLE[call][1].split()


def faults(*calls: str, turn: int = 0) -> list[Fault]:
    """Each errno of these calls once: at the first, the second or the n-th call, in turns. Three kinds
    of server with a *turn* each, 0, 1 and 2, see every errno at all three."""
    return [
        Fault(call, name, PLACES[(i + turn) % len(PLACES)])
        for call in calls
        for i, name in enumerate(errnos(call))
    ]
