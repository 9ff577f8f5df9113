"""`Transcript`: what happened, in plain values that do not depend on this run's ports and numbers.

Everyone who speaks has a part of their own: the test's thread, each other thread, each forked child
(whose lines come over a socket). What one of them does is in order; the parts of several threads or
children are sorted, for nobody knows who goes first.
"""

import os
import pickle
import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Any


class Transcript:
    """Write with `note`, `returns` and `calling`; read once, with `lines`, when all have finished."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._home = threading.current_thread()
        self._parts: dict[Any, list[Any]] = {self._home: []}
        self._children: dict[int, list[Any]] = {}
        #: Held while something new is named, so that nobody speaks of it before.
        self.naming = threading.RLock()
        self._names: list[tuple[Any, str]] = []
        self._reader, self._writer = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)

    def close(self) -> None:
        self._reader.close()
        self._writer.close()

    @property
    def in_child(self) -> bool:
        """Whether this is a forked child, and not the process that the transcript belongs to."""
        return os.getpid() != self._pid

    @property
    def at_home(self) -> bool:
        """Whether this is the thread, and the process, that the transcript belongs to."""
        return threading.current_thread() is self._home and not self.in_child

    def name(self, value: Any, name: str) -> None:
        """Write *name* where *value* occurs: an address, say, or an object."""
        if value != "":  # an unbound Unix socket's address, which is plain enough
            self._names.insert(0, (value, name))

    def forget(self) -> None:
        """Keep no object alive for its name's sake."""
        self._names.clear()

    def note(self, *words: Any) -> None:
        """Write a line."""
        with self.naming:
            line = tuple(self.plain(word) for word in words)
        if self.in_child:
            self._writer.send(pickle.dumps((os.getpid(), line)))
        else:
            self._parts.setdefault(threading.current_thread(), []).append(line)

    def returns(self, what: str, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Call *function*; write what it returned, or that it raised, which ends here."""
        try:
            result = function(*args, **options)
        except BaseException as exc:
            self.note(what, "raised", exc)
            return None
        self.note(what, "returned", result)
        return result

    @contextmanager
    def calling(self, what: str, *args: Any) -> Iterator[None]:
        """Write that *what* was called, and what came through it, if it raised."""
        self.note(what, *args)
        try:
            yield
        except BaseException as exc:
            self.note(what, "raised", exc)
            raise

    def lines(self) -> list[Any]:
        """All of it: this thread's part, the other threads', the children's."""
        self._hear()
        home = self._parts.pop(self._home)
        return [
            home,
            *sorted((["thread", *part] for part in self._parts.values()), key=repr),
            *sorted((["child", *part] for part in self._children.values()), key=repr),
        ]

    def count(self, *words: Any) -> int:
        """How many lines have all these *words*."""
        self._hear()
        parts = [*self._parts.values(), *self._children.values()]
        return sum(all(word in line for word in words) for part in parts for line in part)

    def _hear(self) -> None:
        while select.select([self._reader], [], [], 0)[0]:
            pid, line = pickle.loads(self._reader.recv(1 << 16))
            self._children.setdefault(pid, []).append(line)

    def plain(self, value: Any) -> Any:
        """*value* without what differs from run to run."""
        for known, name in self._names:
            if value is known or (type(value) is type(known) and value == known):
                return name
        if isinstance(value, BaseException):
            return (type(value).__name__, value.errno) if isinstance(value, OSError) else type(value).__name__
        if isinstance(value, Enum):
            return value.name
        if value is None or isinstance(value, bool | int | float | str | bytes):
            return value
        if isinstance(value, tuple | list):
            return [self.plain(each) for each in value]
        if isinstance(value, set | frozenset):
            return sorted((self.plain(each) for each in value), key=repr)
        if isinstance(value, dict):
            return {key: self.plain(each) for key, each in value.items()}
        if isinstance(value, type):
            return value.__name__
        return f"a {type(value).__name__}"
