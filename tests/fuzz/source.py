"""Bytes as decisions: what a fuzzer's input means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Source:
    """Gives decisions until the bytes are used up, and then zeros."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._place = 0

    @property
    def left(self) -> int:
        """How many bytes are not used up."""
        return len(self._data) - self._place

    def number(self, below: int) -> int:
        """A number from 0, of at most one byte."""
        byte = self._data[self._place] if self.left > 0 else 0
        self._place += 1
        return byte % below

    def flag(self) -> bool:
        return bool(self.number(2))

    def choice(self, options: Sequence[T]) -> T:
        return options[self.number(len(options))]

    def bytes(self, most: int) -> bytes:
        """A length, then so many bytes of the input."""
        size = self.number(most + 1)
        data = self._data[self._place : self._place + size]
        self._place += size
        return data

    def rest(self) -> bytes:
        """All that is left."""
        data = self._data[self._place :]
        self._place = max(self._place, len(self._data))
        return data
