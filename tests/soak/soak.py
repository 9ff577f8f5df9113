"""`Soak`: the course of it all, on a server that runs already."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from tests.abuse import readings
from tests.abuse.target import Target
from tests.soak.abusers import KINDS, abuser
from tests.soak.drained import Scene
from tests.soak.halfopen import TABLE, half_open
from tests.soak.logged import Log
from tests.soak.loop import Client
from tests.soak.peers import PATIENCE
from tests.soak.polite import polite
from tests.soak.verdict import IDLE_LOAD, Reading, reasons
from tests.soak.world import World

#: Seconds between two readings.
READ_EVERY = 1.0

#: Seconds in which it is seen what a server without clients does.
IDLE_TIME = 0.5

#: What waits for a client, in the plural.
WAITING = {"row": "rows", "thread": "threads", "process": "children"}

#: Seconds for the last polite ones to finish: a large reply that is read slowly.
LEAVING = 30.0


@dataclass(frozen=True)
class Load:
    """What a server is given: polite clients, the share of each crowd of abusers, connects in a storm; how
    long all pauses are, a polite client's between two requests being 1 second at most; and what has to be
    set on a server for so many."""

    polite: int
    abusers: float
    storm: int
    pace: float = 1.0
    settings: Mapping[str, int] = field(default_factory=dict)


#: socketserver's listeners have room for 5 newcomers. More is what the documentation says for many clients.
QUEUE = {"request_queue_size": 1000}

#: Threads and processes cost more than rows, and there are fewer of them; of processes, no more than 40.
LOADS = {
    "row": Load(1000, 1.0, 500),
    "thread": Load(200, 0.4, 50, settings=QUEUE),
    "process": Load(10, 0.0, 10, settings=QUEUE),
}


class Soak:
    """Calls *say* now and then. What clients complain of is in the world's `complaints`; what else there
    is to judge are `readings`, each one second after the other, and `log`. `growth`: MiB of memory at most.
    `half_open`: connections that were left, see `halfopen`.
    """

    def __init__(self, target: Target, seed: int, load: Load, say: Callable[[], object]) -> None:
        self.world = World(target.address, seed, load.storm, load.pace)
        self.readings: list[Reading] = []
        self.log = Log()
        self.growth = 0.0
        self.half_open = 0
        self._target = target
        self._load = load
        self._say = say
        self._polite: list[Client] = []
        self._abusers: list[Client] = []
        self._began = monotonic()
        self._empty_handed = target.descriptors()
        self.before = self._read()

    def run(self, seconds: float, say_every: float, enough: Callable[[], bool] = lambda: False) -> None:
        """All of it: the crowd, the emptiness after it, the end. *enough* and interrupts end the crowd's
        part before its time."""
        try:
            self._crowd(seconds, say_every, enough)
        except KeyboardInterrupt:
            pass
        if self._target.alive:
            self._empty()
        if self._target.alive:
            Scene(self.world, self._target, self._load.polite).play()
        else:
            self.world.complaints.add("the server died", f"status {self._target.process.returncode}")
        self._read_log()
        self.world.loop.close()

    def reasons(self) -> list[str]:
        """Why the server has not passed; none if it has."""
        one_log = not self._target.program.forks
        return self.world.complaints.lines() + reasons(self.readings, self.log, one_log=one_log)

    def _crowd(self, seconds: float, say_every: float, enough: Callable[[], bool]) -> None:
        world = self.world
        for number in range(self._load.polite):
            name = f"polite {number}"
            self._polite.append(world.loop.start(polite(world, name)))
        proportions = world.generator("proportions")
        for kind in KINDS:
            crowd = round(kind.crowd * self._load.abusers * proportions.uniform(0.5, 1.5))
            for number in range(max(1, crowd)):
                name = f"{kind.name} {number}"
                self._abusers.append(world.loop.start(abuser(world, name, kind)))
        spoken = self._began
        while (left := self._began + seconds - monotonic()) > 0 and self._target.alive and not enough():
            world.loop.run(enough, min(READ_EVERY, left))
            self.readings.append(self._read())
            if monotonic() - spoken >= say_every:
                spoken = monotonic()
                self._read_log()
                self._say()

    def _empty(self) -> None:
        """Everybody goes; nothing of them may stay."""
        world = self.world
        world.over = True
        world.loop.run(lambda: not any(client in world.loop for client in self._polite), LEAVING)
        for client in [*self._polite, *self._abusers]:
            world.loop.stop(client)
        world.loop.run(lambda: not world.loop, PATIENCE)
        self.growth = self._target.growth()
        if not world.loop.run(self._is_as_before, PATIENCE):
            self._explain()
        before = self._read()
        world.loop.run(lambda: False, IDLE_TIME)
        now = self._read()
        load = (now.cpu - before.cpu) / (now.seconds - before.seconds)
        if load > IDLE_LOAD:
            world.complaints.add("a server without clients is busy", f"{load:.0%} of a core")

    def _explain(self) -> None:
        """Something has stayed: complain, unless the kernel has made it so."""
        self.half_open = half_open(self._target.port, Path(TABLE).read_text())
        now = self._read()
        descriptors, waiting = now.descriptors - self.before.descriptors, now.waiting - self.before.waiting
        if waiting != self.half_open or descriptors not in (0, waiting):
            self.world.complaints.add(
                "what was opened for clients stays when they have gone",
                f"{descriptors} descriptors, {waiting} {WAITING[self._target.program.waits_in]}, "
                f"of which {self.half_open} connections have no other end",
            )

    def _is_as_before(self) -> bool:
        now = self._read()
        return (now.descriptors, now.waiting) == (self.before.descriptors, self.before.waiting)

    def _read_log(self) -> None:
        self.log.read(self._target.log(), monotonic() - self._began)

    def _read(self) -> Reading:
        pid = self._target.pid
        descriptors = self._target.descriptors()
        waits_in = self._target.program.waits_in
        if waits_in == "thread":
            waiting = self._target.threads() - 1
        elif waits_in == "process":
            waiting = self._target.children()
        else:
            waiting = descriptors - self._empty_handed
        return Reading(
            seconds=monotonic() - self._began,
            resident=readings.resident(pid),
            descriptors=descriptors,
            cpu=self._target.cpu_seconds(),
            waiting=waiting,
        )
