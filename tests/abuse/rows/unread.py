"""Rows about peers that ask and do not read."""

from __future__ import annotations

import time

from tests.abuse.lines import sized
from tests.abuse.peer import SMALL
from tests.abuse.scene import Scene, row


@row("Small requests with replies of 64 KiB, 30,000 in one batch, unread", growth=12)
def unread_batch(scene: Scene) -> None:
    for peer in scene.peers(5, receive_buffer=SMALL):
        peer.stuff(b"65536\n" * 30_000, 6 * 30_000)
    scene.must_not_spin()


@row("Never reading while sending, as much as it takes", growth=12)
def sends_and_never_reads(scene: Scene) -> None:
    for peer in scene.peers(2, receive_buffer=SMALL):
        sent = peer.stuff(b"0123456789" * 6553 + b"\n", 200_000_000)
        assert sent < 200_000_000, "it takes all of it"
    scene.must_not_spin()


@row("Never reading: closed at `send_timeout`", growth=12, slow=True, logged=True)
def never_reads(scene: Scene) -> None:
    peers = scene.peers(3, receive_buffer=SMALL)
    begin = time.monotonic()
    for peer in peers:
        peer.stuff(b"65536\n" * 30_000, 6 * 30_000)
    peers[0].half_close()
    waits = [peer.ended_within(begin + 40 - time.monotonic()) for peer in peers]
    assert None not in waits, "it keeps them for 40 s"
    assert time.monotonic() - begin > 29, "closed before 30 s"


@row("Reading slowly but steadily for longer than `send_timeout`: all of it arrives", growth=24, slow=True)
def steady_reader(scene: Scene) -> None:
    size = 9_000_000
    peer = scene.peer(receive_buffer=SMALL)
    peer.send(b"%d\nand this\n" % size)
    begin = time.monotonic()
    parts = []
    while time.monotonic() - begin < 33:
        parts.append(peer.socket.recv(2000))
        assert parts[-1], "it hangs up on a reader who was only slow"
        time.sleep(0.2)
    parts.append(peer.exactly(size - sum(map(len, parts))))
    assert b"".join(parts) == sized(size), "the reply is not whole"
    assert peer.line() == b"AND THIS\n"
