"""The protocol of every program here: a line is asked, `reply` is the answer."""

from __future__ import annotations

import string

_PATTERN = (string.ascii_letters + string.digits).encode()

#: Digits of the longest number that is a wish and not a text: replies of up to 10 MB.
_LONGEST_NUMBER = 7


class Asked(Exception):
    """A line asked for this."""


def sized(size: int) -> bytes:
    """*size* bytes, the same ones each time, the last of them a newline."""
    return (_PATTERN * (size // len(_PATTERN) + 1))[: size - 1] + b"\n" if size else b""


def reply(line: bytes) -> bytes:
    """The answer to *line*: so many bytes to a number, an exception to ``!raise``, capitals to all else."""
    word = line.strip()
    if word.isdigit() and len(word) <= _LONGEST_NUMBER:
        return sized(int(word))
    if word == b"!raise":
        raise Asked("as the line says")
    return line.upper()
