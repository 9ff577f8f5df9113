"""Rows about requests that are no requests, or too many, or too long in coming."""

from __future__ import annotations

import ssl
import time

from tests.abuse.lines import reply
from tests.abuse.peer import SMALL, Peer
from tests.abuse.scene import Scene, row
from tests.abuse.target import PATIENCE


@row("A valid request, a byte at a time, is served")
def byte_by_byte(scene: Scene) -> None:
    line = b"slowly but surely, %d\n"
    peers = scene.peers(10)
    for number, peer in enumerate(peers):
        for position in range(len(line % number)):
            peer.send((line % number)[position : position + 1])
    for number, peer in enumerate(peers):
        assert peer.line() == reply(line % number)


@row("A line of 100 MB is refused at the limit", growth=8, logged=True)
def endless_line(scene: Scene) -> None:
    peer = scene.peer()
    sent = peer.stuff(b"x" * (1 << 20), 100_000_000)
    assert sent < 100_000_000, "it took all of it"
    assert peer.ended_within(PATIENCE) is not None, f"it took {sent} bytes and keeps the connection"


@row("10,000 pipelined requests in one segment: all answered, in order", growth=8)
def pipelined(scene: Scene) -> None:
    peer = scene.peer()
    lines = [b"r%d\n" % number for number in range(10_000)]
    peer.send(b"".join(lines))
    assert peer.exactly(sum(map(len, lines))) == b"".join(map(reply, lines))


@row("2,000 pipelined requests whose replies are read late: all there, in order", growth=16)
def late_reader(scene: Scene) -> None:
    lines = [b"%d\n" % (1000 + number) for number in range(2000)]
    for peer in scene.peers(2, receive_buffer=SMALL):
        peer.send(b"".join(lines))
        scene.bystander.wait_for(5)  # meanwhile it has written what the kernel takes
        for line in lines:
            assert peer.line() == reply(line)


@row("20 peers with 2,000 pipelined requests each, at once: nobody else waits for them", growth=8)
def greedy(scene: Scene) -> None:
    lines = [b"r%d\n" % number for number in range(2000)]
    peers = scene.peers(20)
    for peer in peers:
        peer.send(b"".join(lines))
    for peer in peers:
        assert peer.exactly(sum(map(len, lines))) == b"".join(map(reply, lines))


@row("Urgent data")
def urgent_data(scene: Scene) -> None:
    for peer in scene.peers(5):
        peer.urgent(b"!")
        assert peer.ask(b"before\n") == b"BEFORE\n"
        peer.urgent(b"!")
        peer.send(b"half a ")
        peer.urgent(b"!")
        assert peer.ask(b"line\n") == b"HALF A LINE\n"
    scene.must_not_spin()


@row("TLS bytes on a plain port")
def tls_bytes(scene: Scene) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    hello = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    try:
        hello.do_handshake()
    except ssl.SSLWantReadError:
        pass
    record = outgoing.read()
    for number in range(scene.few(50)):
        peer = scene.peer()
        peer.send(record)
        if number % 2:
            peer.half_close()
            peer.rest()


@row("NULs and every other byte")
def every_byte(scene: Scene) -> None:
    anything = bytes(set(range(256)) - {10})
    for line in (b"\0" * 1000 + b"\n", anything * 20 + b"\n", anything[::-1] + b"\r\n", b"\n", b"\0\n"):
        peer = scene.peer()
        assert peer.ask(line) == reply(line)
        assert peer.ask(line) == reply(line)


@row("A byte a second: closed at `request_timeout`, whatever it trickles", slow=True, logged=True)
def trickle(scene: Scene) -> None:
    peers = scene.peers(5)
    ended: dict[Peer, float] = {}
    begin = time.monotonic()
    while len(ended) < len(peers) and time.monotonic() - begin < 20:
        for peer in peers:
            try:
                if peer not in ended:
                    peer.send(b"x")
            except OSError:
                pass
        time.sleep(0.5)
        for peer in peers:
            if peer not in ended and peer.has_ended():
                ended[peer] = time.monotonic() - begin
    assert len(ended) == len(peers), "it lets them trickle for 20 s"
    assert min(ended.values()) > 9, f"closed after {min(ended.values()):.1f} s"


@row("Half a line and then silence: closed at `request_timeout`", slow=True, logged=True)
def silent_half(scene: Scene) -> None:
    peers = scene.peers(10)
    for peer in peers:
        peer.send(b"half a li")
    begin = time.monotonic()
    waits = [peer.ended_within(begin + 20 - time.monotonic()) for peer in peers]
    assert None not in waits, "it keeps half a request for 20 s"
    assert time.monotonic() - begin > 9, "closed before its time"


@row("Refused, and then neither reading nor leaving: the server leaves", growth=8, slow=True, logged=True)
def stays_when_refused(scene: Scene) -> None:
    peers = scene.peers(5)
    for peer in peers:
        assert peer.ask(b"one line\n") == b"ONE LINE\n"
        # Enough for every limit, and less than the server would throw away before it hangs up.
        peer.send(b"x" * ((1 << 20) + 30_000))
    begin = time.monotonic()
    waits = [peer.ended_within(begin + 8 - time.monotonic()) for peer in peers]
    assert None not in waits, "it keeps those whom it has refused"
