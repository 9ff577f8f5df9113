"""`Rests`: channels whose event does not go away get no more of it for a while, so that nothing spins.

Some events stay however often they are delivered: end of file at a channel that does not close,
a hang-up, an urgent byte that nobody reads, a listener that cannot accept. What comes again at
once after a rest rests twice as long; what comes later begins anew.
"""

import heapq
import itertools
from collections.abc import Iterator
from typing import Any

from reactor.backoff import FIRST_PAUSE

#: Seconds of the longest rest: one event a second costs nothing.
LONGEST_REST = 1.0


class Rests:
    """Who rests from what, and until when. Knows no clock."""

    def __init__(self) -> None:
        self._from: dict[Any, int] = {}
        self._last: dict[Any, tuple[float, float]] = {}  # how long it was and when it ended
        #: A heap that begins with when the next rest is over.
        self.ends: list[tuple[float, int, Any]] = []
        self._order = itertools.count()

    def begin(self, now: float, fd: Any, flags: int, seconds: float | None = None) -> None:
        """*fd* rests from *flags*, for *seconds* or as long as its last rest suggests."""
        if seconds is None:
            seconds, ended = self._last.get(fd, (0.0, 0.0))
            seconds = min(seconds * 2, LONGEST_REST) if now < ended + seconds else FIRST_PAUSE
        until = now + seconds
        self._last[fd] = (seconds, until)
        self._from[fd] = self._from.get(fd, 0) | flags
        heapq.heappush(self.ends, (until, next(self._order), fd))

    def flags(self, fd: Any) -> int:
        """What *fd* rests from."""
        return self._from.get(fd, 0)

    def end(self, fd: Any) -> None:
        """Something has changed: what it rested from may be another thing now."""
        self._from.pop(fd, None)

    def forget(self, fd: Any) -> None:
        """*fd* is another's now, or nobody's."""
        self._from.pop(fd, None)
        self._last.pop(fd, None)

    def over(self, now: float) -> Iterator[Any]:
        """The descriptors whose rest is over."""
        while self.ends and self.ends[0][0] <= now:
            fd = heapq.heappop(self.ends)[2]
            if self._from.pop(fd, 0):
                yield fd
