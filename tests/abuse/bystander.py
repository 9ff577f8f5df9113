"""`Bystander`: a client with good manners, who shows what the abuse costs everybody else."""

from __future__ import annotations

import threading
import time
from typing import Self

from tests.abuse.lines import reply
from tests.abuse.peer import DatagramPeer, Peer
from tests.abuse.target import PATIENCE, Target, until

#: It comes from a host of its own.
HOST = "127.0.0.9"
#: Seconds between two lines, and between two newcomers.
PACE = 0.02
NEWCOMERS = 0.3
#: Seconds after which a reply counts as lost. Nobody here should wait a tenth of that; a busy machine may.
TOO_LATE = 4.0


def _questions(number: int) -> bytes:
    """Short and long ones in turns."""
    return b"%d\n" % (1000 + number % 7) if number % 3 else b"question %d, if you please\n" % number


class Bystander:
    """Asks *target* one line after another, in a thread, from the start to `finish`.

    `asked`, `lost`: lines; a reply that is wrong, missing or too late is lost. `longest_wait`:
    seconds. `complaints`: the first few, in words. `newcomers`: whether it makes new connections,
    now and then, to ask one line; they count like the others. *pace*: seconds between two lines.
    """

    def __init__(self, target: Target, *, newcomers: bool = True, pace: float = PACE) -> None:
        self.newcomers = newcomers
        self.asked = self.lost = 0
        self.longest_wait = 0.0
        self.complaints: list[str] = []
        self._target = target
        self._pace = pace
        self._datagrams = target.program.kind == "datagrams"
        self._peer: Peer | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._live, daemon=True)

    def __enter__(self) -> Self:
        self._ask(self._connection())
        assert not self.lost, self.complaints
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.finish()

    def wait_for(self, lines: int) -> None:
        """Wait until it has asked so many more."""
        wanted = self.asked + lines
        until(lambda: self.asked >= wanted, "the bystander asks nothing")

    def finish(self) -> None:
        """Ask no more."""
        self._over.set()
        self._thread.join(PATIENCE)
        if self._peer is not None:
            self._peer.__exit__()
            self._peer = None

    def _live(self) -> None:
        next_newcomer = time.monotonic() + NEWCOMERS
        while not self._over.wait(self._pace):
            try:
                self._ask(self._connection())
                if self.newcomers and time.monotonic() >= next_newcomer:
                    with self._connect() as newcomer:
                        self._ask(newcomer)
                    next_newcomer = time.monotonic() + NEWCOMERS
            except OSError as exc:  # not even a connection
                self.asked += 1
                self._lose(f"connecting: {exc!r}")

    def _connection(self) -> Peer:
        if self._peer is None:
            self._peer = self._connect()
        return self._peer

    def _connect(self) -> Peer:
        if self._datagrams:
            return DatagramPeer(self._target.address, host=HOST, patience=TOO_LATE)
        return Peer(self._target.address, host=HOST, patience=TOO_LATE)

    def _ask(self, peer: Peer) -> None:
        line = _questions(self.asked)
        self.asked += 1
        begin = time.monotonic()
        try:
            answer = peer.ask(line)
        except OSError as exc:
            self._lose(f"after {time.monotonic() - begin:.1f} s: {exc!r}")
            self._leave(peer)
            return
        self.longest_wait = max(self.longest_wait, time.monotonic() - begin)
        if answer != reply(line):
            self._lose(f"to {line!r}: {answer[:50]!r}, {len(answer)} bytes")
            self._leave(peer)

    def _lose(self, words: str) -> None:
        self.lost += 1
        if len(self.complaints) < 5:
            self.complaints.append(words)

    def _leave(self, peer: Peer) -> None:
        peer.socket.close()
        if peer is self._peer:
            self._peer = None
