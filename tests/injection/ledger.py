"""What became of each connection: written down wherever it happens, in threads and children too."""

from __future__ import annotations

import itertools
import os
from collections import Counter
from typing import Any


class Ledger:
    """One word for each hook that was called, with the number of the connection it was called for.

    A pipe, for what a forked child writes has to be seen here; and no socket, for those fail.
    """

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        self._numbers: dict[object, int] = {}
        self._next = itertools.count(1)
        self._seen: Counter[tuple[str, int]] = Counter()

    def close(self) -> None:
        os.close(self._reader)
        os.close(self._writer)

    def take(self, request: Any) -> None:
        """A request was taken; it gets a number."""
        self._numbers[_key(request)] = next(self._next)
        self.say("taken", request)

    def say(self, word: str, request: Any) -> None:
        self.write(word, self._numbers[_key(request)])

    def write(self, word: str, number: int) -> None:
        os.write(self._writer, f"{word} {number}\n".encode())

    def read(self) -> Counter[tuple[str, int]]:
        """How often each word was said of each connection up to now."""
        while True:
            try:
                words = os.read(self._reader, 65536).decode()  # what is written is written whole
            except BlockingIOError:
                return self._seen
            for word in words.splitlines():
                name, number = word.split()
                self._seen[name, int(number)] += 1

    def numbers(self, word: str) -> set[int]:
        """Of whom *word* was said."""
        return {number for name, number in self.read() if name == word}

    def count(self, word: str) -> int:
        """How often *word* was said."""
        return sum(count for (name, _), count in self.read().items() if name == word)

    def complaints(self, ending: str, open_: set[int]) -> list[str]:
        """Who was not ended exactly once: *ending*, and `finish` where `setup` succeeded."""
        seen, wrong = self.read(), []
        for number in sorted(open_):
            if seen[ending, number] != 1:
                wrong.append(f"connection {number}: {seen[ending, number]} times {ending}")
            if seen["finish", number] != seen["setup", number]:
                wrong.append(
                    f"connection {number}: setup {seen['setup', number]}, finish {seen['finish', number]}"
                )
        return wrong


def _key(request: Any) -> object:
    """A connection is its socket; a datagram, which handlers get with another socket, what is in it."""
    return request[0] if isinstance(request, tuple) else id(request)
