"""`World`: what all clients share: where the server is, what they may ask, and where they complain."""

from __future__ import annotations

import random
from collections import Counter
from time import monotonic

from tests.abuse.lines import reply
from tests.soak.loop import Loop
from tests.soak.peers import Peer

#: Bytes of text to cut lines from: enough that two are hardly ever the same.
POOL = 1 << 20

#: Most bytes of one line: half of what a `Line()` takes.
LONGEST_LINE = 32768

#: Complaints of one kind that are kept in words; the rest is counted.
KEPT = 3


class Complaints:
    """What was wrong, in words, a few of each kind; and how often."""

    def __init__(self) -> None:
        self._words: dict[str, list[str]] = {}
        self._count: Counter[str] = Counter()
        self._began = monotonic()

    def __len__(self) -> int:
        return self._count.total()

    def add(self, kind: str, words: str = "") -> None:
        self._count[kind] += 1
        kept = self._words.setdefault(kind, [])
        if len(kept) < KEPT:
            kept.append(f"{words} ({monotonic() - self._began:.1f} s from the start)")

    def kinds(self) -> set[str]:
        return set(self._count)

    def lines(self) -> list[str]:
        """One for each kind."""
        return [
            f"{kind}, {self._count[kind]} times: {'; '.join(words)}" for kind, words in self._words.items()
        ]


class World:
    """The clients' surroundings. `over`: nobody is to begin anything new."""

    def __init__(self, address: tuple[str, int], seed: int, storm: int, pace: float) -> None:
        self.address = address
        self.seed = seed
        #: Connects in one storm.
        self.storm = storm
        #: What the length of all pauses is multiplied with.
        self.pace = pace
        self.complaints = Complaints()
        self.loop = Loop(lambda exc: self.complaints.add("the soak itself raised", repr(exc)))
        self.over = False
        #: Replies that were compared, and their bytes, of polite clients and abusers alike.
        self.replies = self.reply_bytes = 0
        #: Connections that polite clients made.
        self.connections = 0
        #: The longest that a polite client waited for the server to do something.
        self.longest_wait = 0.0
        #: Of each kind of abuse, how often.
        self.abuses: Counter[str] = Counter()
        pool = bytearray(random.Random(f"{seed} pool").randbytes(POOL))
        self._pool = bytes(pool.replace(b"\n", b"."))
        self._upper = self._pool.upper()

    def generator(self, name: str) -> random.Random:
        """What a client draws its behaviour from."""
        return random.Random(f"{self.seed} {name}")

    def peer(self, rng: random.Random, receive_buffer: int | None = None) -> Peer:
        """An abuser's connection, not made yet."""
        return Peer(self.loop, rng, receive_buffer=receive_buffer)

    def polite_peer(self, rng: random.Random) -> Peer:
        """A polite client's, whose waits count."""
        return Peer(self.loop, rng, waited=self._waited)

    def _waited(self, seconds: float) -> None:
        self.longest_wait = max(self.longest_wait, seconds)

    def answered(self, replies: int, size: int) -> None:
        """So many replies came, all as they should be."""
        self.replies += replies
        self.reply_bytes += size

    def text(self, tag: str, rng: random.Random, size: int) -> tuple[bytes, bytes]:
        """A line of every byte value, and its reply. *tag* makes it nobody else's."""
        size = min(size, LONGEST_LINE)
        begin = rng.randrange(POOL - size)
        head = b"%s:" % tag.encode()
        end = begin + size
        return head + self._pool[begin:end] + b"\n", head.upper() + self._upper[begin:end] + b"\n"

    def noise(self, size: int) -> bytes:
        """Bytes without a newline."""
        return self._pool[:size]

    def number(self, size: int) -> tuple[bytes, bytes]:
        """A wish for so many bytes, and its reply."""
        line = b"%d\n" % size
        return line, reply(line)
