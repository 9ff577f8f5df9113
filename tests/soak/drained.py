"""The last scene: `SIGTERM` with clients in the middle of their requests. Nothing may be lost."""

from __future__ import annotations

import random
import signal
from pathlib import Path

from tests.abuse import readings
from tests.abuse.target import Target
from tests.soak.loop import Impatient
from tests.soak.peers import PATIENCE, Lost, Peer, Sip, Steps, Wrong, pause
from tests.soak.world import World

#: Bytes of a reply that is asked for before and read after the signal, and the receive buffer of who asks:
#: a good part of it stays with the server. Not in the crowd, for there it would move the server's memory by
#: more than a leak does.
LARGE, LARGE_BUFFER = 6_500_000, 1 << 16

#: Of so many clients, one has such a reply to read.
FEW = 50


class Scene:
    """Some clients have nothing begun, most are half-way through a line, a few have a large reply to read."""

    def __init__(self, world: World, target: Target, clients: int) -> None:
        self._world = world
        self._target = target
        self._clients = clients
        self._asked = 0
        self._idle_ones_left = 0
        self._go = False

    def play(self) -> None:
        """To the end of the server; complaints are the world's."""
        world, target = self._world, self._target
        for number in range(self._clients):
            if number % 3 == 0:
                script = self._idler
                self._idle_ones_left += 1
            elif number % FEW == 1:
                script = self._one_that_reads_late
            else:
                script = self._one_in_the_middle
            world.loop.start(self._guarded(script(f"last.{number}"), f"last.{number}"))
        if not world.loop.run(lambda: self._asked == self._clients and self._taken(), PATIENCE):
            world.complaints.add("before the signal, not all were served", f"{self._asked} asked")
        target.send_signal(signal.SIGTERM)
        if not world.loop.run(lambda: not self._idle_ones_left, PATIENCE):
            world.complaints.add("draining did not close idle connections", f"{self._idle_ones_left} left")
        self._go = True
        if not world.loop.run(lambda: not world.loop, PATIENCE):
            world.complaints.add("draining kept clients waiting", f"{len(world.loop)} of them")
        if not world.loop.run(lambda: not target.alive, PATIENCE):
            world.complaints.add("draining did not end the server")
        elif target.process.returncode:
            world.complaints.add("draining lost something", f"status {target.process.returncode}")

    def _taken(self) -> bool:
        """Whether the server has accepted everybody and read all that was sent: it does nothing."""
        pid = self._target.pid
        return all(map(_sleeps, [pid, *readings.children(pid)]))

    def _guarded(self, script: Steps[None], name: str) -> Steps[None]:
        try:
            yield from script
        except (Lost, Wrong, OSError, Impatient) as exc:
            self._world.complaints.add("draining lost a reply", f"{name}: {exc!r}")

    def _greet(self, peer: Peer, name: str, rng: random.Random) -> Steps[None]:
        """Connect and be served, so that this one is known to be past the listener's queue."""
        yield from pause(rng.uniform(0, self._world.pace))
        yield from peer.connect(self._world.address)
        yield from peer.exchange(*self._world.text(name, rng, 100))

    def _idler(self, name: str) -> Steps[None]:
        rng = self._world.generator(name)
        with self._world.polite_peer(rng) as peer:
            yield from self._greet(peer, name, rng)
            self._asked += 1
            try:
                yield from peer.expect_end(PATIENCE * 3)
            finally:
                self._idle_ones_left -= 1

    def _one_in_the_middle(self, name: str) -> Steps[None]:
        rng = self._world.generator(name)
        with self._world.polite_peer(rng) as peer:
            yield from self._greet(peer, name, rng)
            line, reply = self._world.text(name, rng, rng.randrange(30_000))
            half = len(line) // 2
            yield from peer.send(line[:half])
            yield from self._wait_for_go()
            yield from peer.send(line[half:])
            yield from self._take(peer, reply)

    def _one_that_reads_late(self, name: str) -> Steps[None]:
        rng = self._world.generator(name)
        with self._world.peer(rng, LARGE_BUFFER) as peer:
            yield from self._greet(peer, name, rng)
            line, reply = self._world.number(LARGE)
            yield from peer.send(line)
            yield from self._wait_for_go()
            yield from self._take(peer, reply, Sip(1 << 16, 0.002))

    def _wait_for_go(self) -> Steps[None]:
        self._asked += 1
        while not self._go:
            yield from pause(0.05)

    def _take(self, peer: Peer, reply: bytes, sip: Sip | None = None) -> Steps[None]:
        yield from peer.exchange(b"", reply, sip)
        self._world.answered(1, len(reply))
        yield from peer.expect_end()


def _sleeps(pid: int) -> bool:
    """Whether all threads of a process wait for something."""
    for task in Path(f"/proc/{pid}/task").glob("*/stat"):
        try:
            if task.read_text().rpartition(")")[2].split()[0] != "S":
                return False
        except (FileNotFoundError, ProcessLookupError):
            return False  # it has just ended: look again
    return True
