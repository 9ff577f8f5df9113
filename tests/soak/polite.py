"""The polite clients: they ask, read what they asked for, think, ask again; and reconnect now and then."""

from __future__ import annotations

import random

from tests.soak.loop import Impatient
from tests.soak.peers import Lost, Peer, Sip, Steps, Wrong, pause
from tests.soak.world import World

#: Bytes of a reply that is read slowly but steadily, so many at a time.
LONGER = 1 << 20
SIP = 1 << 16


def polite(world: World, name: str) -> Steps[None]:
    """One client, until the world is over."""
    rng = world.generator(name)
    yield from pause(rng.uniform(0, world.pace))
    number = 0
    while not world.over:
        with world.polite_peer(rng) as peer:
            try:
                yield from peer.connect(world.address)
                world.connections += 1
                for _ in range(rng.randint(1, 60)):
                    number += 1
                    yield from _ask(world, peer, f"{name}.{number}", rng)
                    yield from pause(rng.uniform(0, world.pace))
                    if world.over:
                        break
                yield from _leave(world, peer, f"{name}.{number}.last", rng)
            except Wrong as exc:
                world.complaints.add("a wrong reply", f"{name}: {exc}")
            except Lost as exc:
                world.complaints.add("a lost reply", f"{name}: {exc}")
            except Impatient:
                world.complaints.add("a polite client lost its patience", name)
            except OSError as exc:
                world.complaints.add("a polite client was cut off", f"{name}: {exc!r}")
        yield from pause(rng.uniform(0, world.pace))


def lines(world: World, tag: str, rng: random.Random) -> tuple[int, bytes, bytes]:
    """What one asks at a time: how many lines, they themselves, and the reply. Mostly one that is short."""
    chosen = rng.random()
    if chosen < 0.5:
        pairs = [world.text(tag, rng, rng.randrange(200))]
    elif chosen < 0.7:
        pairs = [world.text(f"{tag}.{i}", rng, rng.randrange(500)) for i in range(rng.randint(2, 30))]
    elif chosen < 0.8:
        pairs = [world.number(rng.randint(1, 5000)) for _ in range(rng.randint(1, 10))]
    elif chosen < 0.9:
        pairs = [world.text(tag, rng, rng.randrange(LONG))]
    else:
        pairs = [world.number(rng.randrange(1, LONG)), world.text(tag, rng, rng.randrange(2000))]
    return len(pairs), b"".join(line for line, _ in pairs), b"".join(reply for _, reply in pairs)


#: Bytes of a line or reply that takes more than one segment.
LONG = 30_000


def _ask(world: World, peer: Peer, tag: str, rng: random.Random) -> Steps[None]:
    chosen = rng.random()
    sip = None
    if chosen < 0.01:
        line, reply = world.number(rng.randint(LONGER // 2, LONGER))
        count, sip = 1, Sip(SIP, 0.1 * world.pace * rng.random())
    else:
        count, line, reply = lines(world, tag, rng)
    if chosen > 0.95:  # half of it first
        half = rng.randrange(len(line))
        yield from peer.send(line[:half])
        yield from pause(rng.uniform(0, world.pace))
        line = line[half:]
    yield from peer.exchange(line, reply, sip)
    world.answered(count, len(reply))


def _leave(world: World, peer: Peer, tag: str, rng: random.Random) -> Steps[None]:
    """Go: at once, after EOF, or with a last question that EOF follows, whose reply still has to come."""
    chosen = rng.random()
    if chosen < 0.3:
        return
    if chosen < 0.6:
        count, line, reply = lines(world, tag, rng)
        yield from peer.send(line)
        peer.end_output()
        yield from peer.expect(reply)
        world.answered(count, len(reply))
    else:
        peer.end_output()
    yield from peer.expect_end()
