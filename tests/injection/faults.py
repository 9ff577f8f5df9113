"""The layer that makes calls fail: between the package and the kernel, beneath everything of ours.

Real sockets, real descriptors; a call that is due to fail does what the kernel would have done
by then, and raises. Mostly that is nothing. But Linux has closed a descriptor even when `close`
says `EINTR` or `EIO`; a `connect` in progress is in progress; and what epoll says it does not
have, it has not.

Only the server's calls are counted and fail, not those of the test's own thread, which plays its
peers. They are counted from the moment in which a fault is armed, on a server that is at work.
"""

from __future__ import annotations

import _socket
import errno
import mmap
import os
import selectors
import socket
import threading
from typing import Any

from tests.injection.table import Fault

#: Calls of a socket, by the methods that make them.
METHODS = {
    "recv": "recv",
    "recv_into": "recv",
    "send": "send",
    "sendall": "send",
    "recvfrom": "recvfrom",
    "sendto": "sendto",
    "accept": "accept",
    "getpeername": "getpeername",
    "getsockname": "getsockname",
    "setsockopt": "setsockopt",
    "getsockopt": "getsockopt",
    "connect": "connect",
    "shutdown": "shutdown",
}

LISTENER, WAKER, CONNECTION = "listener", "waker", "connection"


def role_of(sock: socket.socket) -> str:
    """Whether a socket listens, wakes a loop, or is somebody's connection. No patched call is used."""
    ask = _socket.socket.getsockopt
    try:
        if ask(sock, socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            return LISTENER
        if sock.family == socket.AF_UNIX and not _socket.socket.getsockname(sock):
            return CONNECTION if _socket.socket.getpeername(sock) else WAKER
    except OSError:
        pass  # not connected (any more)
    return CONNECTION


class Faults:
    """Makes the armed call fail. *monkeypatch* undoes it all.

    `role`: whose calls are meant. `threads`: the threads that are meant, `None` for all but the
    one that made this object; in forked children every one is. Children count together with their
    parent.
    """

    def __init__(self, monkeypatch: Any) -> None:
        self.role = CONNECTION
        self.threads: set[int] | None = None
        self.own_too = False
        #: Every second of these calls says `EAGAIN`, as where the kernel has no room.
        self.refusing: str | None = None
        self.selectors: list[Any] = []
        self._refusals = 0
        self._fault: Fault | None = None
        self._shared = mmap.mmap(-1, 2)  # calls, and how many of them failed; children write it too
        self._lock = threading.Lock()
        self._test = threading.get_ident()
        for method, call in METHODS.items():
            monkeypatch.setattr(socket.socket, method, self._failing(method, call))
        monkeypatch.setattr(socket.socket, "_real_close", self._failing_close())
        monkeypatch.setattr(os, "fork", self._before("fork", os.fork))
        monkeypatch.setattr(threading.Thread, "start", self._before("start", threading.Thread.start))
        monkeypatch.setattr(selectors, "DefaultSelector", lambda: FaultyEpollSelector(self))
        monkeypatch.setattr("reactor.base._ServerSelector", lambda: FaultyPollSelector(self))

    def arm(self, fault: Fault) -> None:
        """From now on calls are counted, and those of *fault* fail."""
        with self._lock:
            self._shared[:] = b"\0\0"
            self._fault = fault

    @property
    def fired(self) -> int:
        """How often the call has failed."""
        return self._shared[1]

    def disarm(self) -> None:
        with self._lock:
            self._fault = None
        self.refusing = None

    def due(self, call: str, sock: Any = None) -> Exception | None:
        """Count a call; the error that it is to raise, if any."""
        if not self._is_meant():
            return None
        if call == self.refusing and (sock is None or role_of(sock) == CONNECTION):
            self._refusals += 1
            if self._refusals % 2:
                return OSError(errno.EAGAIN, "no room")
        fault = self._fault
        if fault is None or call != fault.call:
            return None
        if sock is not None and call != "accept" and role_of(sock) != self.role:
            return None
        with self._lock:
            self._shared[0] = min(self._shared[0] + 1, 255)
            if not fault.nth <= self._shared[0] < fault.nth + fault.times:
                return None
            self._shared[1] = min(self._shared[1] + 1, 255)
        return fault.error()

    def _is_meant(self) -> bool:
        here = threading.get_ident()
        if self.own_too and here == self._test:
            return True
        return here != self._test if self.threads is None else here in self.threads

    # What stands in the place of the calls

    def _failing(self, method: str, call: str) -> Any:
        real = getattr(socket.socket, method)

        def failing(sock: socket.socket, *args: Any) -> Any:
            error = self.due(call, sock)
            if error is None:
                return real(sock, *args)
            if call == "connect" and isinstance(error, BlockingIOError) and error.errno != errno.EAGAIN:
                _socket.socket.connect_ex(sock, *args)  # it is in progress
            raise error

        return failing

    def _failing_close(self) -> Any:
        real = socket.socket._real_close  # type: ignore[attr-defined]

        def failing(sock: socket.socket, *args: Any) -> None:
            error = self.due("close", sock) if sock.fileno() >= 0 else None
            real(sock, *args)
            if error is not None:
                raise error

        return failing

    def _before(self, call: str, real: Any) -> Any:
        def failing(*args: Any) -> Any:
            error = self.due(call)
            if error is not None:
                raise error
            return real(*args)

        return failing


class FaultyKernel:
    """Stands for the `select.epoll` or `select.poll` object beneath a selector.

    `returns`: how often it came back to its loop. `waiting`: whether the loop is in it now.
    """

    def __init__(self, real: Any, faults: Faults, wait: str) -> None:
        self._real = real
        self._faults = faults
        self._wait = wait
        self.returns = 0
        self.waiting = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def poll(self, *args: Any) -> Any:
        error = self._faults.due(self._wait)
        try:
            self.waiting = True
            if error is not None:
                raise error
            return self._real.poll(*args)
        finally:
            self.waiting = False
            self.returns += 1


class FaultyEpoll(FaultyKernel):
    """Fails as epoll_ctl(2) and epoll_wait(2) do. A change may be asked for in one call, or in two."""

    _taken_out = -1  # since the last wait

    def poll(self, *args: Any) -> Any:
        self._taken_out = -1
        return super().poll(*args)

    def register(self, fd: int, events: int) -> None:
        error = self._faults.due("modify" if fd == self._taken_out else "register")
        if error is not None:
            raise error
        self._real.register(fd, events)

    def modify(self, fd: int, events: int) -> None:
        error = self._faults.due("modify")
        if error is None:
            self._real.modify(fd, events)
            return
        if isinstance(error, OSError) and error.errno in (errno.EBADF, errno.ENOENT):
            self._real.unregister(fd)
        raise error

    def unregister(self, fd: int) -> None:
        error = self._faults.due("unregister")
        self._real.unregister(fd)
        self._taken_out = fd
        if error is not None:
            raise error


class FaultyEpollSelector(selectors.EpollSelector):
    """What a reactor waits with."""

    def __init__(self, faults: Faults) -> None:
        super().__init__()
        self.kernel = self._selector = FaultyEpoll(self._selector, faults, "epoll_wait")  # type: ignore
        faults.selectors.append(self)


class FaultyPollSelector(selectors.PollSelector):
    """What a blocking server waits with."""

    def __init__(self, faults: Faults) -> None:
        super().__init__()
        self.kernel = self._selector = FaultyKernel(self._selector, faults, "poll")  # type: ignore
        faults.selectors.append(self)
