"""Rows about what the kernel refuses, brought about from outside."""

from __future__ import annotations

import time
from statistics import median

from tests.abuse.peer import Peer
from tests.abuse.scene import Scene, row


@row("No descriptor left: it rests, and nobody who is connected notices", newcomers=False, logged=True)
def no_descriptors(scene: Scene) -> None:
    with scene.target.no_descriptor_free():
        peers = scene.peers(3)
        for peer in peers:
            peer.send(b"let me in\n")
        load = min(scene.target.load(0.25) for _ in range(2))
        assert load < 0.05, f"it takes {load:.0%} of a core while it is full"
    for peer in peers:
        _must_come_in(scene, peer)


@row("No descriptor left: it accepts within a tenth of a second of room", newcomers=False, logged=True)
def room_again(scene: Scene) -> None:
    waits = []
    for _ in range(3):
        with scene.target.no_descriptor_free() as give_room:
            peer = scene.peer()
            peer.send(b"let me in\n")
            time.sleep(0.35)  # for its rests to become as long as they get
            give_room()
            begin = time.monotonic()
            _must_come_in(scene, peer)
            waits.append(time.monotonic() - begin)
            peer.socket.close()
    assert median(waits) < 0.1, f"it took {median(waits):.2f} s"


@row("A full accept queue: all are served, when it has room again", newcomers=False)
def full_queue(scene: Scene) -> None:
    crowd = scene.few(1100 if scene.program.waits_in == "row" else 50)
    with scene.target.stopped():
        peers = [scene.peer(hasty=True) for _ in range(crowd)]
    for peer in peers:
        peer.must_be_connected()
        assert peer.ask(b"I was there\n") == b"I WAS THERE\n"
        peer.socket.close()


def _must_come_in(scene: Scene, peer: Peer) -> None:
    """Served at last. One who was turned away meanwhile may come again."""
    try:
        assert peer.line() == b"LET ME IN\n"
    except ConnectionError:
        assert scene.peer().ask(b"let me in\n") == b"LET ME IN\n"
