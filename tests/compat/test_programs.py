"""Programs made up by hypothesis: some channels, and steps that they, their peers and the program take.

What each channel is told is compared turn by turn. Who is first in a turn is not, and no step is
taken of which `differences` says that it differs.
"""

import socket
from contextlib import suppress
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.compat.implementations import Library, same
from tests.compat.stage import Stage, stage

KINDS = ("chat", "reader", "buffered", "stays", "willing", "unwilling", "asked", "duck")
MANY = settings(max_examples=250, deadline=None, database=None, derandomize=True)


class Duck:
    """No dispatcher; readable by turns."""

    accepting = False

    def __init__(self, sock: socket.socket, map: Any) -> None:
        sock.setblocking(False)
        self.socket, self._map = sock, map
        self._fileno: int | None = sock.fileno()
        self.asked = 0
        self.add_channel()

    def add_channel(self) -> None:
        self._map[self._fileno] = self

    def del_channel(self) -> None:
        self._map.pop(self._fileno, None)
        self._fileno = None  # the next to have it is another

    def close(self) -> None:
        self.del_channel()
        self.socket.close()

    def readable(self) -> bool:
        self.asked += 1
        return self.asked % 3 > 0

    def writable(self) -> bool:
        return False

    def handle_read_event(self) -> None:
        data = self.socket.recv(3)
        self.tell("read", data)  # type: ignore[attr-defined]
        if not data:
            self.close()

    def handle_expt_event(self) -> None:
        self.tell("expt")  # type: ignore[attr-defined]

    def handle_close(self) -> None:
        self.tell("closing")  # type: ignore[attr-defined]
        self.close()

    def handle_error(self) -> None:
        self.tell("error")  # type: ignore[attr-defined]
        self.close()


def classes(play: Stage) -> dict[str, Any]:
    """The kinds of channels: how much of them is stock decides who is asked, and how."""
    core, chat = play.asyncore, play.asynchat.async_chat

    def reading(self: Any) -> None:
        self.tell("read", self.recv(5))

    def closing(self: Any) -> None:
        self.tell("closing")
        self.close()

    def collect(self: Any, data: bytes) -> None:
        self.tell("collect", data)
        self.push(data.upper())

    def failing(self: Any) -> None:
        self.tell("read", self.recv(1))
        raise ValueError

    def error(self: Any) -> None:
        self.tell("error")

    def writing(self: Any) -> None:
        self.tell("write")
        if self.words:
            self.send(self.words.pop())

    body = {"handle_read": reading, "handle_close": closing}
    return {
        "chat": type("Chat", (chat,), {"terminator": None, "collect_incoming_data": collect}),
        "reader": type("Reader", (core.dispatcher,), body),
        "buffered": type("Buffered", (core.dispatcher_with_send,), body),
        "stays": type(
            "Stays", (core.dispatcher,), {**body, "handle_close": lambda self: self.tell("staying")}
        ),
        "willing": type(
            "Willing",
            (core.dispatcher,),
            {**body, "words": [], "handle_write": writing, "writable": lambda self: bool(self.words)},
        ),
        "unwilling": type(
            "Unwilling", (core.dispatcher,), {"handle_read": failing, "handle_error": error, "writable": bool}
        ),
        "asked": type("Asked", (chat,), {**body, "readable": lambda self: self.willing, "willing": True}),
        "duck": Duck,
    }


class Program:
    def __init__(self, play: Stage, kinds: list[str]) -> None:
        self.play, self.kinds = play, kinds
        self.classes = classes(play)
        self.turns = 0
        self.told: list[list[Any]] = [[] for _ in kinds]
        self.channels: list[Any] = []
        self.peers: list[socket.socket] = []
        for number in range(len(kinds)):
            self.make(number)

    def make(self, number: int) -> None:
        ours, peer = self.play.pair()
        peer.setblocking(False)
        channel = self.classes[self.kinds[number]](ours, self.play.map)
        told = self.told[number]
        channel.tell = lambda *words: told.append((self.turns, *words))
        if number < len(self.channels):
            self.channels[number], self.peers[number] = channel, peer
        else:
            self.channels.append(channel)
            self.peers.append(peer)

    def step(self, what: str, number: int) -> None:
        number %= len(self.channels)
        channel, peer, told = self.channels[number], self.peers[number], self.told[number]
        try:
            if what == "turn":
                self.turns += 1
                self.play.drive()
            elif what == "hello":
                peer.send(b"hello")
            elif what == "long":
                peer.send(b"a longer word")
            elif what == "half":
                peer.shutdown(socket.SHUT_WR)
            elif what == "gone":
                peer.close()
            elif what == "close":
                channel.close()
            elif what == "anew":  # most likely with the same descriptor
                channel.close()
                peer.close()
                self.make(number)
            elif what == "remove":
                self.play.map.pop(channel._fileno, None)
            elif what == "add" and channel.socket is not None and channel.socket.fileno() >= 0:
                if channel._fileno is not None:
                    channel.add_channel()
            elif what == "copied map":
                self.play.map = dict(self.play.map)
                for each in self.channels:
                    each._map = self.play.map
            elif what == "deaf":
                channel.readable = lambda: False
            elif what == "mute":
                channel.writable = lambda: False
            elif what == "stock again":
                for name in ("readable", "writable"):
                    with suppress(AttributeError):
                        delattr(channel, name)
            elif what == "willing":
                channel.willing = not getattr(channel, "willing", False)
                channel.words = [b"word", b"word"]
            elif what == "queue" and hasattr(channel, "producer_fifo"):
                channel.producer_fifo.append(b"queued")
            elif what == "buffer" and hasattr(channel, "out_buffer"):
                channel.out_buffer += b"buffered"
            elif what == "unconnected" and not isinstance(channel, Duck):
                channel.connected = not channel.connected
        except Exception as exc:
            told.append((self.turns, what, type(exc).__name__))

    def end(self) -> list[Any]:
        for peer, told in zip(self.peers, self.told, strict=True):
            data = b""
            try:
                while more := peer.recv(1000):
                    data += more
                told.append((data, "EOF"))
            except OSError as exc:
                told.append((data, type(exc).__name__))
        return [*self.told, len(self.play.map)]


def performed(library: Library, driver: str, kinds: list[str], steps: list[tuple[str, int]]) -> list[Any]:
    with stage(library, driver) as play:
        program = Program(play, kinds)
        for what, number in [*steps, ("turn", 0), ("turn", 0)]:
            program.step(what, number)
        return program.end()


STEPS = st.tuples(
    st.sampled_from(
        ["turn"] * 6
        + ["hello"] * 3
        + ["long", "half", "gone", "close", "anew", "remove", "add", "mute", "deaf", "willing"]
        + ["queue", "buffer", "unconnected", "copied map", "stock again"]
    ),
    st.integers(0, 3),
)


@MANY
@given(
    st.sampled_from(["loop", "loop with poll", "poll", "poll2"]),
    st.lists(st.sampled_from(KINDS), min_size=1, max_size=4),
    st.lists(STEPS, max_size=25),
)
def test_a_program(driver: str, kinds: list[str], steps: list[tuple[str, int]]) -> None:
    same(performed, driver, kinds, steps)
