"""The survivors that somebody has looked at, each with the reason why nobody can notice it."""

from __future__ import annotations

import pathlib
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass

from tests.mutants.statements import Mutant, canonical

FILE = pathlib.Path(__file__).with_suffix(".toml")


@dataclass(frozen=True)
class Entry:
    """One survivor, named as `Mutant` names it."""

    file: str
    function: str
    statement: str
    reason: str
    occurrence: int = 1

    @property
    def key(self) -> tuple[str, str, str, int]:
        return self.file, self.function, canonical(self.statement.strip()), self.occurrence

    def __str__(self) -> str:
        return f"{self.file}: {self.function}: {self.statement.strip()}"


def load(path: pathlib.Path = FILE) -> list[Entry]:
    """The entries of *path*. Raises `ValueError` for one without a reason or that stands there twice."""
    entries = [Entry(**entry) for entry in tomllib.loads(path.read_text())["survivor"]]
    for place, entry in enumerate(entries):
        if not entry.reason.strip():
            raise ValueError(f"{path.name}: no reason: {entry}")
        if entry.key in {earlier.key for earlier in entries[:place]}:
            raise ValueError(f"{path.name}: stands there twice: {entry}")
    return entries


def stale(entries: Iterable[Entry], mutants: Iterable[Mutant]) -> list[Entry]:
    """Entries for statements that are there no more, in the files that *mutants* are of."""
    there = {mutant.key for mutant in mutants}
    files = {mutant.file for mutant in mutants}
    return [entry for entry in entries if entry.file in files and entry.key not in there]
