"""What the server has logged: the limits that abusers pass and the errors they ask for, and nothing else."""

from __future__ import annotations

import re
from collections import Counter

#: An error that a line asked for, whole.
_ASKED = re.compile(
    r"error in .*\nTraceback \(most recent call last\):\n(?: .*\n)+tests\.abuse\.lines\.(Asked): .*\n"
)

#: Any other line; the group is its cause.
_LINE = re.compile(
    r"closing \(.*?\): (\w+): .*"
    r"|(refused) .*"
    r"|(\w+)[\w: ]*: \d+ more in the last second or so"
    r"|(Asked) at \S*lines\.py:\d+: \d+ more in the last second or so"
)

#: Lines beyond one a second that are no flood: at both ends of the time that is looked at.
SPARE = 2


class Log:
    """Looks at a growing log. `causes`: how many entries there were for each limit, and for the errors that
    were asked for. `floods`: causes that had more than one a second for a while, and the number in the worst
    such time. `unexpected`: lines that should not be there."""

    def __init__(self) -> None:
        self.causes: Counter[str] = Counter()
        self.floods: dict[str, int] = {}
        self.unexpected: list[str] = []
        self._seen = 0
        self._when = 0.0

    def read(self, text: str, now: float) -> None:
        """Take what is new. *text* is all of it, *now* the time in seconds, from the start."""
        fresh, self._seen = text[self._seen :], len(text)
        seconds, self._when = now - self._when, now
        causes = Counter(_ASKED.findall(fresh))
        for line in _ASKED.sub("", fresh).splitlines():
            found = _LINE.fullmatch(line)
            if found is None:
                self.unexpected.append(line)
            else:
                causes[found[found.lastindex or 0]] += 1
        for cause, count in causes.items():
            if count > seconds + SPARE:
                self.floods[cause] = max(count, self.floods.get(cause, 0))
        self.causes += causes
