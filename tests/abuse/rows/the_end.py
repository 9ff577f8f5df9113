"""Rows about SIGTERM: what becomes of requests that are under way, and of clients who do nothing."""

from __future__ import annotations

import signal
import time

from tests.abuse.peer import Peer
from tests.abuse.scene import Scene, row
from tests.abuse.target import until

#: Far beyond what a row takes: what ends before it was not ended by it.
PATIENT = {"drain_timeout": 60, "request_timeout": 60}


def refuses(scene: Scene) -> bool:
    """Whether newcomers are refused, or the server has ended."""
    if not scene.target.alive:
        return True
    try:
        Peer(scene.target.address, patience=1).socket.close()
    except (ConnectionRefusedError, ConnectionResetError):
        return True
    except TimeoutError:
        pass
    return False


def half_requests(scene: Scene, most: int) -> list[Peer]:
    """Peers with one request answered and half of the next one sent."""
    peers = []
    for _ in range(scene.few(most)):
        peer = scene.peer()
        assert peer.ask(b"one\nhalf ") == b"ONE\n"
        peers.append(peer)
    return peers


@row(
    "SIGTERM with 1,000 half-sent requests: newcomers are refused, all that is completed is answered",
    ends=True,
    settings=PATIENT,
)
def completes_on_sigterm(scene: Scene) -> None:
    peers = half_requests(scene, 1000)
    scene.target.send_signal(signal.SIGTERM)
    until(lambda: refuses(scene), "it goes on accepting")
    for peer in peers:
        peer.send(b"a request\n")
        peer.half_close()
    for peer in peers:
        assert peer.rest() == b"HALF A REQUEST\n"
    assert scene.target.ended() == 0, "it ends badly"


@row(
    "SIGTERM with 1,000 half-sent requests never completed: over within `drain_timeout`, and counted",
    ends=True,
    logged=True,
    settings=PATIENT | {"drain_timeout": 1},
)
def cuts_on_sigterm(scene: Scene) -> None:
    number = len(half_requests(scene, 1000))
    begin = time.monotonic()
    scene.target.send_signal(signal.SIGTERM)
    assert scene.target.ended() == 1, "it ends as if nothing had been lost"
    assert time.monotonic() - begin > 0.9, "it waits for nobody"
    assert f" {number} " in scene.target.log(), "the log does not say how many were lost"


@row("A second SIGTERM ends it at once", ends=True, logged=True, settings=PATIENT)
def second_sigterm(scene: Scene) -> None:
    half_requests(scene, 20)
    scene.target.send_signal(signal.SIGTERM)
    until(lambda: refuses(scene), "it goes on accepting")
    assert scene.target.alive, "the first one ended it, with requests under way"
    scene.target.send_signal(signal.SIGTERM)
    assert scene.target.ended(5) == 1, "it ends as if nothing had been lost"


@row(
    "SIGTERM with 100 idle connections: closed at once, and it ends well",
    ends=True,
    settings=PATIENT,
    waits_in=("row",),
)
def idle_on_sigterm(scene: Scene) -> None:
    idle = [scene.peer() for _ in range(scene.few(100))]
    for peer in idle:
        assert peer.ask(b"a line\n") == b"A LINE\n"
    scene.target.send_signal(signal.SIGTERM)
    for peer in idle:
        try:
            assert peer.rest() == b"", "more than the end"
        except TimeoutError:
            raise AssertionError("idle connections are not closed") from None
        peer.socket.close()
    assert scene.target.ended() == 0, "it ends badly"
