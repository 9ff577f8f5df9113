"""Short plays for one channel: what a peer does, and turns of the loop between. Each takes a stage and
`make`, which makes the channel of a class that the test has chosen; each ends by closing everything.
"""

import os
import select
import socket
from collections.abc import Callable
from typing import Any

from tests.compat.stage import CHAT, HOOKS, WITH_SEND, Stage

#: Makes the channel of the play, given the arguments of its constructor.
Make = Callable[..., Any]


def reading(self: Any) -> None:
    """`handle_read` of those that have none."""
    self.got = [*getattr(self, "got", []), self.recv(64)]


def writing(self: Any) -> None:
    if not getattr(self, "said", None):
        self.said = self.send(b"said once")


def collecting(self: Any, data: bytes) -> None:
    self._collect_incoming_data(data)


def echoing(self: Any) -> None:
    self.push(self._get_data() + b"!")


#: What a channel of that kind does, before anything is overridden.
BODIES: dict[str, dict[str, Any]] = {
    "dispatcher": {"handle_read": reading, "handle_write": writing},
    "dispatcher_with_send": {"handle_read": reading},
    "file_dispatcher": {"handle_read": reading, "writable": lambda self: False},
    "async_chat": {"collect_incoming_data": collecting, "found_terminator": echoing},
}
HOOKS_OF = {"async_chat": CHAT, "dispatcher_with_send": WITH_SEND}


def hooks_of(kind: str) -> tuple[str, ...]:
    return HOOKS_OF.get(kind, HOOKS)


def the_end(play: Stage, channel: Any) -> None:
    play.state(channel)
    play.note("got", getattr(channel, "got", None), getattr(channel, "incoming", None))
    play.returns("close", channel.close)
    play.turn()
    play.state(channel)
    play.note("left in the map", len(play.map))


def talking(play: Stage, make: Make) -> None:
    """Lines come in, something is said, the peer goes."""
    ours, peer = play.pair()
    channel = make(ours, play.map)
    if hasattr(channel, "set_terminator"):
        channel.set_terminator(b"\n")
    play.turn()
    peer.send(b"one\ntwo\nth")
    play.turn()
    peer.send(b"ree\n")
    play.turn()
    play.hear(peer)
    for name in ("send", "push"):
        if hasattr(channel, name):
            play.returns(name, getattr(channel, name), b"reply")
    play.turn(2)
    play.hear(peer)
    peer.close()
    play.turn(2)
    the_end(play, channel)


def listening(play: Stage, make: Make) -> None:
    """Two clients come, one after another."""
    channel = make(None, play.map)
    channel.create_socket()
    channel.set_reuse_addr()
    channel.bind(("127.0.0.1", 0))
    channel.listen(5)
    play.turn()
    for _ in range(2):
        if (address := where(channel)) is None:
            break
        client = play.holding(socket.create_connection(address, 5))
        play.arrived(channel.socket)
        play.turn(2)
        client.close()
    the_end(play, channel)


def where(channel: Any) -> Any:
    """The address that it listens on; None if a hook has kept it from that."""
    sock = getattr(channel, "socket", None)
    if sock is None or sock.fileno() < 0 or not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        return None
    return sock.getsockname()


def connecting(play: Stage, make: Make) -> None:
    """It connects by itself, and the other side has something to say."""
    listener = play.listener()
    channel = make(None, play.map)
    if hasattr(channel, "set_terminator"):
        channel.set_terminator(b"\n")
    channel.create_socket()
    play.returns("connect", channel.connect, listener.getsockname())
    if under_way(channel):
        play.arrived(channel.socket, select.POLLOUT)
        peer = play.holding(listener.accept()[0])
        play.turn(2)
        peer.send(b"welcome\n")
        if under_way(channel):
            play.arrived(channel.socket)
        play.turn()
        peer.close()
        if under_way(channel):
            play.arrived(channel.socket)
    play.turn(2)
    the_end(play, channel)


def under_way(channel: Any) -> bool:
    """Whether its socket is open and has been told to connect; the hook that does it may be overridden."""
    sock = getattr(channel, "socket", None)
    return sock is not None and sock.fileno() >= 0 and channel.addr is not None


def refused(play: Stage, make: Make) -> None:
    """Nobody listens there."""
    with play.listener() as listener:
        address = listener.getsockname()
    channel = make(None, play.map)
    channel.create_socket()
    play.returns("connect", channel.connect, address)
    if under_way(channel):
        play.arrived(channel.socket, select.POLLOUT)
    play.turn(2)
    the_end(play, channel)


def urgent(play: Stage, make: Make) -> None:
    """A byte of urgent data, which the channel may leave where it is, for one turn."""
    ours, peer = play.pair(tcp=True)
    channel = make(ours, play.map)
    peer.send(b"u", socket.MSG_OOB)
    play.arrived(ours, select.POLLPRI)
    play.turn()
    peer.send(b"more")
    the_end(play, channel)


def reset(play: Stage, make: Make) -> None:
    """The peer's end of a TCP connection crashes."""
    ours, peer = play.pair(tcp=True)
    channel = make(ours, play.map)
    play.crash(peer)
    play.arrived(ours)
    play.turn(2)
    the_end(play, channel)


def piped(play: Stage, make: Make) -> None:
    """A file_dispatcher's way: a pipe that is written to and closed."""
    ours, peer = os.pipe()
    channel = make(ours, play.map)
    os.close(ours)
    try:
        play.turn()
        os.write(peer, b"through the pipe")
        play.turn()
    finally:
        os.close(peer)
    play.turn(2)
    the_end(play, channel)


#: The plays for each kind of channel.
PLAYS: dict[str, list[Callable[[Stage, Make], None]]] = {
    "dispatcher": [talking, listening, connecting, refused, urgent, reset],
    "dispatcher_with_send": [talking, connecting],
    "async_chat": [talking, connecting, refused, reset],
    "file_dispatcher": [piped],
}
CAST = [(kind, play) for kind, plays in PLAYS.items() for play in plays]
