"""The package's one logger, and a valve that lets one line a second through for each cause.

The logger is named ``reactor`` and has no handler of its own: `logging.lastResort` shows
warnings and errors to a script that set nothing up, and a program that configures logging
gets everything. Nothing in the package prints.
"""

import logging
import threading

logger = logging.getLogger("reactor")


class Throttle:
    """Logs a cause at most once a second, and says how often it was held back.

    A peer that makes us log is a peer that can fill a disk, so every line that a peer can
    provoke goes through here. Times are the caller's clock, in seconds. Any thread may call it.
    """

    __slots__ = ("_held", "_last", "_lock")

    INTERVAL = 1.0

    def __init__(self) -> None:
        self._last: dict[str, float] = {}
        self._held: dict[str, int] = {}
        self._lock = threading.Lock()

    def warning(self, now: float, cause: str, text: str, exc_info: bool = False) -> bool:
        """Log *text* as a warning unless *cause* was logged less than a second ago.

        Returns whether the line was written. *exc_info*: with the traceback of what is being handled.
        """
        with self._lock:
            last = self._last.get(cause)
            if last is not None and now - last < self.INTERVAL:
                self._held[cause] = self._held.get(cause, 0) + 1
                return False
            self._last[cause] = now
            held = self._held.pop(cause, 0)
        more = f" (and {held} more like it since the last such line)" if held else ""
        logger.warning("%s%s", text, more, exc_info=exc_info or None)
        return True

    def flush(self, now: float) -> None:
        """Say what was held back and has been quiet for a second since, so that no count is lost."""
        with self._lock:
            quiet = [cause for cause in self._held if now - self._last[cause] >= self.INTERVAL]
            held = [(cause, self._held.pop(cause)) for cause in quiet]
            self._last.update(dict.fromkeys(quiet, now))
        for cause, count in held:
            logger.warning("%s: %d more in the last second or so", cause, count)
