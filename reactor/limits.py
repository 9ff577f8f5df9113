"""`Limits`: what one connection may cost its server, with the reason beside each number."""

import dataclasses
import math
import threading
from dataclasses import dataclass, field

try:
    import resource
except ImportError:  # not a POSIX system: no such limit to heed
    resource = None  # type: ignore[assignment]

#: Descriptors that stay free for everything that is not a connection: listeners, log files,
#: the waker, pipes to children, what the handlers open.
SPARE_DESCRIPTORS = 64


def _max_connections() -> int:
    """20,000, or what the process's soft ``RLIMIT_NOFILE`` leaves room for where that is less."""
    wanted = 20_000
    if resource is None:
        return wanted
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    return max(1, min(wanted, soft - SPARE_DESCRIPTORS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of one server's connections: sizes in bytes, times in seconds, `None` for none.

    Immutable: make another with `dataclasses.replace`. Raises `TypeError` or `ValueError`,
    naming the field, for anything but a positive number or `None`. Any thread may read it.
    """

    max_connections: int | None = field(default_factory=_max_connections)
    """Beyond it a new connection is refused: better a quick no than a full descriptor table."""
    max_connections_per_peer: int | None = None
    """Connections from one host. Off, because a proxy in front makes every peer one host."""
    max_request_size: int | None = 1 << 20
    """Bytes of one request, all its messages together: what one peer can make us hold in memory."""
    send_buffer_limit: int | None = 256 << 10
    """Bytes owed to one peer before nothing more is read from it: a reply, not a backlog of them."""
    request_timeout: float | None = 10.0
    """Seconds that a begun request may take to arrive, however it trickles. The handler's own time
    does not count."""
    idle_timeout: float | None = 300.0
    """Seconds between requests. Long, for an idle connection costs a kilobyte, and people pause."""
    send_timeout: float | None = 30.0
    """Seconds in which the peer takes not one byte of what it is owed: it is gone or hostile."""
    handshake_timeout: float | None = 10.0
    """Seconds from accepting to being open (a TLS handshake)."""
    connect_timeout: float | None = 30.0
    """Seconds for a client's name look-up and connection, all addresses together."""
    drain_timeout: float | None = 10.0
    """Seconds that draining waits for partial requests; supervisors commonly kill after 10 to 90."""
    linger_timeout: float | None = 2.0
    """Seconds to read and discard after the last reply, so that it is not lost to a reset."""

    def __post_init__(self) -> None:
        for each in dataclasses.fields(self):
            value = getattr(self, each.name)
            if value is None:
                continue
            whole = each.name.startswith("max_") or each.name.endswith("_limit")
            kind = int if whole else (int, float)
            if isinstance(value, bool) or not isinstance(value, kind):
                number = "whole number" if whole else "number of seconds"
                raise TypeError(f"Limits({each.name}=...) takes a {number} or None, not {value!r}")
            if not value > 0 or math.isnan(value):
                raise ValueError(
                    f"Limits({each.name}=...) must be above 0 (None turns it off), not {value!r}"
                )

    def shortest_wait(self) -> float | None:
        """Seconds of the shortest limit of a wait for an open connection's peer; `None` if none is
        limited."""
        waits = (self.request_timeout, self.idle_timeout, self.send_timeout)
        return min((seconds for seconds in waits if seconds is not None), default=None)

    def shortest_timeout(self) -> float:
        """Seconds of the shortest wait that is limited; infinity if none is."""
        timeouts = [
            getattr(self, each.name) for each in dataclasses.fields(self) if each.name.endswith("_timeout")
        ]
        return min((seconds for seconds in timeouts if seconds is not None), default=math.inf)


#: What holds where a server sets no limits (the classic servers, as socketserver behaves). The
#: one number left is not a policy but back-pressure: how much is owed before reading pauses.
UNLIMITED = Limits(
    max_connections=None,
    max_request_size=None,
    request_timeout=None,
    idle_timeout=None,
    send_timeout=None,
    handshake_timeout=None,
    connect_timeout=None,
    drain_timeout=None,
    linger_timeout=2.0,
)


class LimitExceeded(OSError):
    """A blocking handler's peer has passed one of its server's `Limits`, which the text names: the
    connection is to be closed. Logged already. Passing a time is a `TimeoutError` too."""


class TimeLimitExceeded(LimitExceeded, TimeoutError):
    """A limit that is a time."""


class Admission:
    """Counts one server's connections and says which may come in. Any thread may call it."""

    __slots__ = ("_lock", "_per_host", "connections", "limits")

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._lock = threading.Lock()
        self._per_host: dict[str, int] = {}
        self.connections = 0

    def refusal(self, host: str | None) -> str | None:
        """Why a connection from *host* is not let in: the limit and the figures; `None` lets it in."""
        most = self.limits.max_connections
        if most is not None and self.connections >= most:
            return f"max_connections: {self.connections} of {most}"
        most = self.limits.max_connections_per_peer
        if most is not None and host is not None and self._per_host.get(host, 0) >= most:
            return f"max_connections_per_peer: {most} of {most}"
        return None

    def enter(self, host: str | None) -> None:
        """Count a connection that is let in."""
        with self._lock:
            self.connections += 1
            if self.limits.max_connections_per_peer is not None and host is not None:
                self._per_host[host] = self._per_host.get(host, 0) + 1

    def leave(self, host: str | None) -> None:
        """Count one that has ended."""
        with self._lock:
            self.connections -= 1
            if host in self._per_host:
                self._per_host[host] -= 1
                if not self._per_host[host]:
                    del self._per_host[host]
