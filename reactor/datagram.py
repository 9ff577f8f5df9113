"""`DatagramSocket`: a datagram socket whose ``sendto`` neither blocks nor loses what has to wait.

The sibling of `Connection` for datagrams. A datagram is a complete request, so there is no row,
no inbox and no state: only an outbox. Handlers get this object where socketserver gives them
the server's socket, and use it as one.

Of IP the kernel refuses for want of room of its own, and says when there is some. Of Unix sockets it
also refuses for a peer whose queue is full, and never says when that is over. So each address has a
queue here, that of one holds up no other, and Unix peers are tried again after a while (`retry`).
"""

import errno
import socket
from collections import deque
from collections.abc import Callable
from typing import Any

from reactor.backoff import FIRST_PAUSE, LONGEST_PAUSE
from reactor.log import logger
from reactor.net import PEER_GONE

#: An earlier datagram to this or another peer came back; the socket is as good as before.
_NOT_OURS = PEER_GONE | {errno.ECONNREFUSED}

#: Bytes that a datagram which waits takes besides its own: an empty one, too, is held in memory.
_KEEPING = 256


class DatagramSocket:
    """Stands for the non-blocking *sock*: `sendto` is here, everything else is the socket's own.

    *limit*: bytes that may wait for the kernel, `None` for any; what comes beyond is dropped, as a
    network may, with one log line a second. *wait*: called when the first one has to wait:
    watch the socket for ``EVENT_WRITE`` and call `flush`, or call it `retry` seconds later, unless
    they are 0. *warn*: logs a cause and a text. Belongs to the loop's thread.
    """

    def __init__(
        self,
        sock: socket.socket,
        limit: int | None,
        wait: Callable[[], object],
        warn: Callable[[str, str], object],
    ) -> None:
        self._sock = sock
        self._limit = limit
        self._wait = wait
        self._warn = warn
        self._outbox: dict[Any, deque[tuple[bytes, int]]] = {}  # by address
        self._waiting = 0
        self._asks_peers = sock.family == getattr(socket, "AF_UNIX", None)
        #: Bytes that wait for the kernel.
        self.owed = 0
        self.retry = FIRST_PAUSE if self._asks_peers else 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._sock!r}>"

    def sendto(self, *arguments: Any) -> int:
        """``sendto(data, address)`` or ``sendto(data, flags, address)``: send a datagram, as
        `socket.socket.sendto`, or keep it until there is room for it.

        Returns its size in bytes. Raises what `sendto` raises, but for what says that some peer
        is gone.
        """
        if not self._outbox or arguments[-1] not in self._outbox:
            try:
                return self._sock.sendto(*arguments)
            except (OSError, TypeError) as exc:
                if not self._is_full(exc, arguments[-1]):
                    return memoryview(arguments[0]).nbytes
        if len(arguments) not in (2, 3):
            raise TypeError("sendto() takes data, flags if any, and an address")
        data = bytes(memoryview(arguments[0]))
        self._keep(data, arguments[1] if len(arguments) == 3 else 0, arguments[-1])
        return len(data)

    def flush(self) -> bool:
        """Send what waits, in order for each address. Returns whether all is sent."""
        before = self._waiting
        for address in tuple(self._outbox):
            if not self._send_to(address) and not self._asks_peers:
                break  # no room for anybody's
        if self._asks_peers:
            self.retry = FIRST_PAUSE if self._waiting < before else min(self.retry * 2, LONGEST_PAUSE)
        return not self._outbox

    def _send_to(self, address: Any) -> bool:
        """Send what waits for *address*. Returns whether all of that is sent."""
        waiting = self._outbox[address]
        while waiting:
            data, flags = waiting[0]
            try:
                if not self._sent(data, flags, address):
                    return False
            except Exception as exc:  # an address that is none, too: only the socket could have told
                text = f"a datagram of {len(data)} bytes to {address!r} is lost: {exc}"
                self._warn(f"sendto: {getattr(exc, 'strerror', type(exc).__name__)}", text)
            waiting.popleft()
            self._waiting -= 1
            self.owed -= len(data)
        del self._outbox[address]
        return True

    def _sent(self, data: bytes, flags: int, address: Any) -> bool:
        try:
            self._sock.sendto(data, flags, address)
        except OSError as exc:
            return not self._is_full(exc, address)
        return True

    def _is_full(self, exc: OSError | TypeError, address: Any) -> bool:
        """Whether `sendto` refused for want of room, and not for a peer that is gone. Raises *exc* if
        it says something else."""
        if isinstance(exc, BlockingIOError | InterruptedError):
            return True
        code = getattr(exc, "errno", None)
        if code not in _NOT_OURS and not _is_nowhere(address, code):
            raise exc
        logger.debug("%r is gone: %s", address, exc)
        return False

    def _keep(self, data: bytes, flags: int, address: Any) -> None:
        most = self._limit
        if most is not None and self.owed + self._waiting * _KEEPING + len(data) > most:
            text = f"dropping a datagram to {address!r}: send_buffer_limit: {self.owed} bytes wait already"
            self._warn("send_buffer_limit", text)
            return
        self._outbox.setdefault(address, deque()).append((data, flags))
        self._waiting += 1
        self.owed += len(data)
        if self._waiting == 1:
            self._wait()


def _is_nowhere(address: Any, code: int | None) -> bool:
    """Whether nobody can be answered at *address*, of which the system says *code*: who comes from port 0
    (RFC 768) or from a Unix socket without a name wants no answer, and a path may be gone."""
    if isinstance(address, tuple):
        return code == errno.EINVAL and address[1] == 0
    return address is None or code == errno.ENOENT
