"""The package's one logger, and a valve that lets one line a second through for each cause.

The logger is named ``reactor`` and has no handler of its own: `logging.lastResort` shows
warnings and errors to a script that set nothing up, and a program that configures logging
gets everything. Nothing in the package prints.
"""

import logging
import threading
from typing import Any

logger = logging.getLogger("reactor")


def place_of(exc: BaseException | None) -> str:
    """What was raised and where, as a cause to `Throttle`: a line of a program, of which there are few."""
    trace = None if exc is None else exc.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = "nowhere" if trace is None else f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
    return f"{type(exc).__name__} at {where}"


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
        return self._log(logging.WARNING, now, cause, text, exc_info)

    def error(self, now: float, cause: str, text: str, exc_info: bool = True) -> bool:
        """The same for an error that is being handled, with its traceback."""
        return self._log(logging.ERROR, now, cause, text, exc_info)

    def raised(self, now: float, exc: BaseException | None, text: str, *args: Any) -> bool:
        """The same, where what raises at one place is one cause. *args* are for *text*, as in `logging`,
        which bears a ``__repr__`` that raises as well."""
        return self._log(logging.ERROR, now, place_of(exc), text, True, args)

    def _log(
        self, level: int, now: float, cause: str, text: str, exc_info: bool, args: tuple[Any, ...] = ()
    ) -> bool:
        with self._lock:
            last = self._last.get(cause)
            if last is not None and now - last < self.INTERVAL:
                self._held[cause] = self._held.get(cause, 0) + 1
                return False
            self._last[cause] = now
            held = self._held.pop(cause, 0)
        more = f" (and {held} more like it since the last such line)" if held else ""
        if not args:
            text, args = "%s", (text,)
        logger.log(level, text + "%s", *args, more, exc_info=exc_info or None)
        return True

    def flush(self, now: float) -> None:
        """Say what was held back and has been quiet for a second since, so that no count is lost."""
        with self._lock:
            quiet = [cause for cause in self._held if now - self._last[cause] >= self.INTERVAL]
            held = [(cause, self._held.pop(cause)) for cause in quiet]
            self._last.update(dict.fromkeys(quiet, now))
        for cause, count in held:
            logger.warning("%s: %d more in the last second or so", cause, count)
