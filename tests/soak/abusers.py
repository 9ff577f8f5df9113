"""The abusers. Each kind is a function: what one of them does, once; the crowd of its kind does it again
and again. What the server owes even to them is compared too."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from reactor import Limits
from tests.soak.loop import EVENT_READ, Impatient
from tests.soak.peers import Lost, Peer, Steps, Wrong, pause
from tests.soak.world import World

#: Those that the server has without being told.
REQUEST_TIMEOUT = Limits().request_timeout or 0.0
SEND_TIMEOUT = Limits().send_timeout or 0.0

#: Seconds by which a server may be late to get rid of somebody: its sweep, its lingering, a busy machine.
GRACE = 10.0

#: A client that takes nothing, so that what it is owed stays with the server.
SMALL_BUFFER = 4096

Abuse = Callable[[World, random.Random], Steps[None]]


@dataclass(frozen=True)
class Kind:
    """*crowd*: how many do it at the same time. *rest*: seconds at most before one does it again."""

    abuse: Abuse
    crowd: int
    rest: float

    @property
    def name(self) -> str:
        return self.abuse.__name__


KINDS: list[Kind] = []


def kind(crowd: int, rest: float) -> Callable[[Abuse], Abuse]:
    def add(abuse: Abuse) -> Abuse:
        KINDS.append(Kind(abuse, crowd, rest))
        return abuse

    return add


def abuser(world: World, name: str, what: Kind) -> Steps[None]:
    """One of a crowd, until the world is over."""
    rng = world.generator(name)
    yield from pause(rng.uniform(0, what.rest * world.pace))
    while not world.over:
        try:
            yield from what.abuse(world, rng)
        except Wrong as exc:
            world.complaints.add("an abuser's wrong reply", f"{name}: {exc}")
        except Lost as exc:
            world.complaints.add("an abuser's lost reply", f"{name}: {exc}")
        except Impatient:
            world.complaints.add("an abuser waited in vain", name)
        except OSError as exc:
            world.complaints.add("an abuser was cut off", f"{name}: {exc!r}")
        if not world.over:
            world.abuses[what.name] += 1
        yield from pause(rng.uniform(0, what.rest * world.pace))


# Those who are gone before anything is owed to them


@kind(crowd=20, rest=1.0)
def connects_and_resets(world: World, rng: random.Random) -> Steps[None]:
    with world.peer(rng) as peer:
        yield from peer.connect(world.address)
        peer.reset()


@kind(crowd=20, rest=1.0)
def half_a_line_and_gone(world: World, rng: random.Random) -> Steps[None]:
    with world.peer(rng) as peer:
        yield from peer.connect(world.address)
        yield from peer.send(world.noise(rng.randint(1, 30_000)))
        yield from pause(rng.uniform(0, world.pace))
        if rng.random() < 0.5:
            peer.reset()


@kind(crowd=10, rest=1.0)
def speaks_tls(world: World, rng: random.Random) -> Steps[None]:
    with world.peer(rng) as peer:
        yield from peer.connect(world.address)
        hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + world.noise(rng.randint(200, 500))
        yield from peer.send(hello)
        yield from pause(rng.uniform(0, 2 * world.pace))


def _newcomer(world: World, rng: random.Random) -> Steps[None]:
    with world.peer(rng) as peer:
        try:
            yield from peer.connect(world.address)
            if rng.random() < 0.5:
                peer.reset()
        except (Impatient, OSError):
            pass  # more than the queue takes: that is what a storm is


@kind(crowd=1, rest=10.0)
def storm(world: World, rng: random.Random) -> Steps[None]:
    """As many connects as one can make."""
    under_way = world.storm

    def one_has_gone() -> None:
        nonlocal under_way
        under_way -= 1
        world.abuses["storm"] += 1

    for _ in range(world.storm):
        world.loop.start(_newcomer(world, rng), one_has_gone)
    while under_way:
        yield from pause(0.1)


# Those who are owed a reply, however they ask


@kind(crowd=10, rest=0.5)
def byte_by_byte(world: World, rng: random.Random) -> Steps[None]:
    with world.peer(rng) as peer:
        yield from peer.connect(world.address)
        began = monotonic()
        line, reply = world.text("byte", rng, rng.randint(1, 40))
        try:
            for i in range(len(line) - 1):
                yield from peer.send(line[i : i + 1])
                yield from pause(0.01)
            yield from _owed(world, peer, line[-1:], reply)
        except (Lost, ConnectionError):
            if monotonic() - began < REQUEST_TIMEOUT:  # or the machine has made a trickler of this one
                raise


@kind(crowd=5, rest=0.5)
def ends_its_output(world: World, rng: random.Random) -> Steps[None]:
    """EOF right after the request: the reply is owed all the same, and then EOF."""
    with world.peer(rng) as peer:
        yield from peer.connect(world.address)
        line, reply = world.number(rng.randint(1, 300_000))
        yield from peer.send(line)
        peer.end_output()
        yield from _owed(world, peer, b"", reply)
        yield from peer.expect_end()


@kind(crowd=2, rest=4.0)
def thousands_at_once(world: World, rng: random.Random) -> Steps[None]:
    with world.peer(rng) as peer:
        yield from peer.connect(world.address)
        pairs = [world.text(str(i), rng, 5) for i in range(10_000)]
        line, reply = (b"".join(part) for part in zip(*pairs, strict=True))
        yield from _owed(world, peer, line, reply, len(pairs))


@kind(crowd=5, rest=0.5)
def urgent(world: World, rng: random.Random) -> Steps[None]:
    """A byte out of band in the middle of a line, which is no part of it."""
    with world.peer(rng) as peer:
        yield from peer.connect(world.address)
        line, reply = world.text("urgent", rng, 100)
        yield from peer.send(line[:50])
        peer.send_urgent(b"!")
        yield from _owed(world, peer, line[50:], reply)


@kind(crowd=5, rest=0.5)
def every_byte(world: World, rng: random.Random) -> Steps[None]:
    with world.peer(rng) as peer:
        yield from peer.connect(world.address)
        line = bytes(10_000) + bytes(range(10)) + bytes(range(11, 256)) + b"\n"
        yield from _owed(world, peer, line, line.upper())


@kind(crowd=1, rest=2.0)
def makes_the_handler_raise(world: World, rng: random.Random) -> Steps[None]:
    """What was written before it is owed, and then EOF."""
    with world.peer(rng) as peer:
        yield from peer.connect(world.address)
        line, reply = world.number(rng.randint(1, 300_000))
        yield from _owed(world, peer, line + b"!raise\n", reply)
        yield from peer.expect_end()


def _owed(world: World, peer: Peer, request: bytes, reply: bytes, replies: int = 1) -> Steps[None]:
    yield from peer.exchange(request, reply)
    world.answered(replies, len(reply))


# Those who leave the server with its reply


@kind(crowd=10, rest=1.0)
def resets_in_a_reply(world: World, rng: random.Random) -> Steps[None]:
    with world.peer(rng) as peer:
        yield from _begin_to_read(world, peer, rng)
        peer.reset()


@kind(crowd=10, rest=1.0)
def closes_while_written_to(world: World, rng: random.Random) -> Steps[None]:
    with world.peer(rng) as peer:
        yield from _begin_to_read(world, peer, rng)


def _begin_to_read(world: World, peer: Peer, rng: random.Random) -> Steps[None]:
    yield from peer.connect(world.address)
    line, reply = world.number(rng.randint(100_000, 2_000_000))
    yield from peer.send(line)
    data = yield from peer.receive(rng.randint(1, 65536))
    if not data:
        raise Lost("EOF in place of a reply")
    if not reply.startswith(data):
        raise Wrong(f"the reply began with {data[:40]!r}")


# Those whom the server has to get rid of


@kind(crowd=20, rest=1.0)
def a_byte_a_second(world: World, rng: random.Random) -> Steps[None]:
    """Trickles, and never completes a line: `request_timeout`."""
    with world.peer(rng) as peer:
        yield from peer.connect(world.address)
        began = monotonic()
        while monotonic() - began < REQUEST_TIMEOUT + GRACE:
            try:
                yield from peer.send(b"x")
                if (yield from peer.poll(EVENT_READ, world.pace)) and not (yield from peer.receive()):
                    break
            except ConnectionError:
                break
            if world.over:
                return
        else:
            world.complaints.add("a trickler was left in peace")
        waited = monotonic() - began
        if waited < REQUEST_TIMEOUT - 0.1:
            world.complaints.add("a trickler was cut off early", f"after {waited:.1f} s")


@kind(crowd=8, rest=2.0)
def sends_and_never_reads(world: World, rng: random.Random) -> Steps[None]:
    """`send_timeout`."""
    line, _ = world.text("never", rng, 2000)
    yield from _send_until_ended(world, rng, line * 50, SEND_TIMEOUT)


@kind(crowd=4, rest=2.0)
def asks_much_and_reads_nothing(world: World, rng: random.Random) -> Steps[None]:
    """30,000 wishes for 64 KiB each, and then silence: `send_timeout`."""
    yield from _send_until_ended(world, rng, b"65536\n" * 30_000, SEND_TIMEOUT, times=1)


@kind(crowd=2, rest=3.0)
def one_endless_line(world: World, rng: random.Random) -> Steps[None]:
    """100 MB without a newline: refused at the limit."""
    times = yield from _send_until_ended(world, rng, world.noise(100_000), 0.0, times=1000)
    if times == 1000:
        world.complaints.add("100 MB were taken for a line")


def _send_until_ended(
    world: World, rng: random.Random, data: bytes, timeout: float, *, times: int | None = None
) -> Steps[int]:
    """Send *data* over and over (*times*) and read nothing, until the server ends that, by *timeout* or
    soon after. Returns how often it was sent."""
    sent = 0
    with world.peer(rng, SMALL_BUFFER) as peer:
        yield from peer.connect(world.address)
        began = monotonic()
        try:
            while not world.over and sent != times:
                yield from peer.send(data, patience=timeout + GRACE)
                sent += 1
            while not world.over and peer.established and monotonic() - began < timeout + GRACE:
                yield from pause(world.pace)
        except (ConnectionError, Impatient):
            pass
        if not world.over and monotonic() - began >= timeout + GRACE:
            world.complaints.add("one that never reads was left in peace", f"{data[:20]!r}")
    return sent
