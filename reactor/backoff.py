"""`Backoff`: how long a listener rests after `get_request` has failed, so that it neither spins nor ends.

Out of descriptors or memory a listener stays readable: to try again at once is to try 100,000
times a second. So it rests, for 5 ms at first and up to 100 ms while nothing comes of it; short
enough that nobody waits long once there is room. An error that concerns one request, a
handshake that failed in `get_request`, is no reason to keep others waiting; but one that comes
back every time is, unless it says that a client has gone (`is_of_one_request`).
"""

import errno

from reactor.net import PEER_GONE

FIRST_PAUSE = 0.005
LONGEST_PAUSE = 0.1

#: `accept` can't go on for want of something that others will give back (accept(2)), or the
#: listener itself is unfit, which only its owner can mend.
_LISTENER = frozenset(
    {
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOBUFS,
        errno.ENOMEM,
        errno.EBADF,
        errno.EFAULT,
        errno.EINVAL,
        errno.ENOTSOCK,
        errno.EOPNOTSUPP,
    }
)

#: Failures in a row that are put down to single requests; after that it is the listener.
IN_A_ROW = 16


def is_of_one_request(exc: OSError) -> bool:
    """Whether *exc* says that one client is gone, or answers an earlier datagram."""
    of_one = isinstance(exc, ConnectionError | InterruptedError | TimeoutError)
    return of_one or exc.errno in PEER_GONE


class Backoff:
    """One listener's failures. `until`: when its rest ends, by its owner's clock; this knows none.
    Belongs to the thread that takes requests."""

    __slots__ = ("_failures", "_pause", "until")

    def __init__(self) -> None:
        self.until = 0.0
        self.succeeded()

    def succeeded(self) -> None:
        """A request was taken."""
        self._failures = 0
        self._pause = FIRST_PAUSE

    def failed(self, exc: OSError) -> float:
        """`get_request` raised *exc*. Returns the seconds to rest; 0 is to go on."""
        if is_of_one_request(exc):
            return 0.0
        self._failures += 1
        if exc.errno not in _LISTENER and self._failures < IN_A_ROW:
            return 0.0
        self._failures = 0
        pause = self._pause
        self._pause = min(pause * 2, LONGEST_PAUSE)
        return pause
