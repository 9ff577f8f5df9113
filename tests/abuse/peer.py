"""`Peer`: a client that may behave as badly as it likes. Every wait has a deadline."""

from __future__ import annotations

import select
import socket
import struct
import time
from typing import Self

from tests.abuse import readings
from tests.abuse.target import PATIENCE

#: Bytes that a peer's kernel keeps for it: little, so that the server's troubles begin soon.
SMALL = 4096

#: Seconds in which the server takes nothing, after which it will not take more.
STALLED = 0.3

#: Seconds between two looks at the server's end of a connection.
LOOK = 1.0


class Peer:
    """A connection to *address*. *host*: the address it comes from. *receive_buffer*: bytes that the
    kernel keeps for it at most; small, it is soon full. *hasty*: do not wait for the connection."""

    def __init__(
        self,
        address: tuple[str, int],
        *,
        host: str | None = None,
        receive_buffer: int | None = None,
        patience: float = PATIENCE,
        hasty: bool = False,
    ) -> None:
        self.socket = socket.socket()
        self._unread = b""
        self._looked = 0.0
        try:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
            if receive_buffer is not None:
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            if host is not None:
                self.socket.bind((host, 0))
            self.socket.settimeout(0 if hasty else patience)
            try:
                self.socket.connect(address)
            except BlockingIOError:
                self.socket.settimeout(patience)
            self._ports = address[1], self.socket.getsockname()[1]
        except BaseException:
            self.socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.socket.close()

    # Manners

    def must_be_connected(self) -> None:
        """Wait for a connection that was made in haste."""
        poll = select.poll()
        poll.register(self.socket, select.POLLOUT)
        assert poll.poll(PATIENCE * 1000), f"no connection within {PATIENCE:g} s"
        assert not self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), "the connection failed"

    def send(self, data: bytes) -> None:
        """Send all of it."""
        self.socket.sendall(data)

    def line(self) -> bytes:
        """The next line, or what there is of it at the end."""
        while b"\n" not in self._unread:
            data = self.socket.recv(65536)
            if not data:
                line, self._unread = self._unread, b""
                return line
            self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        return line + b"\n"

    def exactly(self, size: int) -> bytes:
        """So many bytes, or fewer at the end."""
        parts = [self._unread]
        found = len(self._unread)
        while found < size:
            data = self.socket.recv(65536)
            if not data:
                break
            parts.append(data)
            found += len(data)
        data = b"".join(parts)
        self._unread = data[size:]
        return data[:size]

    def rest(self) -> bytes:
        """All up to the end."""
        return self.exactly(1 << 62)

    def ask(self, line: bytes) -> bytes:
        """Send a line; return the line that comes back."""
        self.send(line)
        return self.line()

    # Bad manners

    def half_close(self) -> None:
        """Send no more."""
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Be gone, without a good-bye."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def urgent(self, byte: bytes) -> None:
        self.socket.send(byte, socket.MSG_OOB)

    def stuff(self, data: bytes, most: int) -> int:
        """Send *data* over and over, *most* bytes, until the server takes no more or is gone; returns how
        much it was."""
        sent = 0
        self.socket.settimeout(STALLED)
        try:
            while sent < most:
                sent += self.socket.send(data[sent % len(data) :])
        except OSError:
            pass
        self.socket.settimeout(PATIENCE)
        return sent

    def ended_within(self, seconds: float) -> float | None:
        """Wait, reading nothing, until the server has let go of the connection; return the seconds it took,
        or `None` if it did not."""
        begin = time.monotonic()
        while (waited := time.monotonic() - begin) < seconds:
            if self.has_ended():
                return waited
            time.sleep(0.1)
        return None

    def has_ended(self) -> bool:
        """Whether the server has let go of the connection. This end may not learn it before it has read
        all that was sent, so the server's end is looked at: as soon as there is a sign, and else now
        and then, for the kernel's list is long."""
        poll = select.poll()
        poll.register(self.socket, select.POLLRDHUP)
        signs = poll.poll(0)
        if signs and signs[0][1] & (select.POLLERR | select.POLLHUP):
            return True
        now = time.monotonic()
        if not signs and now - self._looked < LOOK:
            return False
        self._looked = now
        return not readings.is_held(*self._ports)


class DatagramPeer(Peer):
    """The same for datagrams, each of which is a line."""

    def __init__(
        self, address: tuple[str, int], *, host: str = "127.0.0.1", patience: float = PATIENCE
    ) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.settimeout(patience)
        self.socket.bind((host, 0))
        self.socket.connect(address)

    def send(self, data: bytes) -> None:
        self.socket.send(data)

    def line(self) -> bytes:
        return self.socket.recv(65536)
