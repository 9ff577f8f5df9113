"""Rows about peers that connect and leave as they should not."""

from __future__ import annotations

from tests.abuse.lines import reply, sized
from tests.abuse.peer import Peer
from tests.abuse.scene import Scene, row
from tests.abuse.target import until


@row("Connect and reset at once, over and over")
def connect_and_reset(scene: Scene) -> None:
    for _ in range(scene.few(500)):
        scene.peer().reset()


@row("Half-close after sending: the reply still arrives", growth=40)
def half_close(scene: Scene) -> None:
    for lines in (b"x\n", b"a\nb\n" * 500, b"5000000\n"):
        peers = scene.peers(3)
        for peer in peers:
            peer.send(lines)
            peer.half_close()
        scene.bystander.wait_for(2)  # meanwhile it has seen that
        for peer in peers:
            answer = peer.rest()
            assert answer == b"".join(map(reply, lines.splitlines(keepends=True))), "a reply is lost"


@row("Half a line, then gone")
def half_a_line(scene: Scene) -> None:
    for number in range(scene.few(200)):
        peer = scene.peer()
        peer.send(b"half a li")
        if number % 2:
            peer.reset()
        else:
            peer.socket.close()


@row(
    "10,000 connects as fast as they come (500 to a thread each, 30 to a process each)",
    growth=32,
    newcomers=False,
)
def connects(scene: Scene) -> None:
    peers = scene.peers(scene.few(10_000))
    for peer in peers[:: max(1, len(peers) // 100)]:
        assert peer.ask(b"one of many\n") == b"ONE OF MANY\n"
    scene.must_not_spin()


@row("Reset in the middle of a reply", growth=8)
def reset_in_a_reply(scene: Scene) -> None:
    for _ in range(scene.few(25)):
        peer = scene.peer()
        peer.send(b"1000000\n" * 3)
        assert peer.exactly(5000) == sized(1_000_000)[:5000]
        peer.reset()
        scene.await_end()


@row("A peer that closes while the server writes", growth=8)
def closes_while_it_writes(scene: Scene) -> None:
    for _ in range(scene.few(25)):
        peer = scene.peer()
        peer.send(b"1000000\n" * 3)
        peer.exactly(1)
        peer.socket.close()
        scene.await_end()


@row(
    "200 peers of one address beside one of another, with `max_connections_per_peer` set",
    settings={"max_connections_per_peer": 20},
    logged=True,
)
def many_of_one_address(scene: Scene) -> None:
    peers = scene.peers(200, host="127.0.0.3")
    inside = [peer for peer in peers if _is_served(peer)]
    assert len(inside) == 20, f"{len(inside)} are served, not 20"
    inside[0].socket.close()
    until(lambda: _is_served(scene.peer(host="127.0.0.3")), "nobody gets the place of one who left")


@row(
    "More connections than `max_connections`: those inside notice nothing",
    settings={"max_connections": 10},
    newcomers=False,
    logged=True,
)
def more_than_max_connections(scene: Scene) -> None:
    inside = [peer for peer in scene.peers(100) if _is_served(peer)]
    assert len(inside) == 9, f"{len(inside)} are served beside the bystander, not 9"
    inside.pop().socket.close()
    until(lambda: _is_served(scene.peer()), "nobody gets the place of one who left")
    for peer in inside:
        peer.socket.close()
    until(lambda: _is_served(scene.peer(host="127.0.0.8")), "nobody gets in when all have left")


def _is_served(peer: Peer) -> bool:
    """Whether the server has let it in."""
    try:
        return peer.ask(b"may I come in?\n") == b"MAY I COME IN?\n"
    except ConnectionError:
        return False
