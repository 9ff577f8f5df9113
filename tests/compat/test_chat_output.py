"""async_chat's writing: what is in the queue, what is sent of it, and when."""

import sys
from collections import deque
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.compat.implementations import Library, all_same, same
from tests.compat.stage import DRIVERS, Error, Stage, stage

FEW = settings(max_examples=100, deadline=None, database=None, derandomize=True)


class Producer:
    """Gives these, then nothing. An exception among them is raised."""

    def __init__(self, *pieces: Any) -> None:
        self.pieces = list(pieces)

    def more(self) -> Any:
        piece = self.pieces.pop(0) if self.pieces else b""
        if isinstance(piece, BaseException):
            raise piece
        return piece


class Rope:
    """Bytes by another name: can be cut and measured."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, part: Any) -> bytes:
        return self.data[part]


#: What is put into the queue, made anew each time.
ITEMS: dict[str, Any] = {
    "bytes": lambda play: b"bytes",
    "many bytes": lambda play: bytes(range(65, 85)),
    "no bytes": lambda play: b"",
    "bytearray": lambda play: bytearray(b"array of bytes"),
    "memoryview": lambda play: memoryview(b"view of memory"),
    "str": lambda play: "a string",
    "wide str": lambda play: "é, ü",
    "None": lambda play: None,
    "simple": lambda play: play.asynchat.simple_producer(b"simply produced", 4),
    "simple str": lambda play: play.asynchat.simple_producer("produced", 3),
    "producer": lambda play: Producer(b"pro", b"du", b"", b"cer"),
    "empty producer": lambda play: Producer(),
    "producer of producers": lambda play: Producer(Producer(b"inner"), b"outer"),
    "failing producer": lambda play: Producer(b"fine", Error()),
    "rope": lambda play: Rope(b"a rope of some length"),
    "list": lambda play: [b"a", b"b"],
    "number": lambda play: 5,
}


def queue(
    library: Library, steps: list[tuple[str, Any]], room: list[Any], size: int, encoding: Any
) -> list[Any]:
    """*steps* are done one after another; `send` takes what there is *room* for. What is told is what
    went over the wire: how it was cut is nobody's business."""
    with stage(library) as play:
        left, wire = list(room), bytearray()

        class Chat(play.asynchat.async_chat):  # type: ignore[misc, name-defined]
            ac_out_buffer_size = size

            def send(self, data: Any) -> Any:
                taken = left.pop(0) if left else 1000
                if taken == "error":
                    raise OSError(32, "gone")
                wire.extend(data[:taken])
                return min(taken, len(data))

            def handle_error(self) -> None:
                play.note("error", sys.exception())

            def handle_close(self) -> None:
                play.note("close", bytes(wire))
                self.connected = False

        chat = Chat(None, play.map)
        chat.connected = True
        if encoding:
            chat.use_encoding, chat.encoding = 1, encoding
        for step, item in steps:
            made = ITEMS[item](play) if item else None
            if step in ("push", "push_with_producer"):
                play.returns(step, getattr(chat, step), made)
            elif step in ("append", "appendleft"):
                play.returns(step, getattr(chat.producer_fifo, step), made)
            elif step == "extend":
                play.returns(step, chat.producer_fifo.extend, [made, made])
            elif step in ("initiate_send", "handle_write", "close_when_done", "discard_buffers"):
                play.returns(step, getattr(chat, step))
            elif step == "unconnected":
                chat.connected = False
            elif step == "connected":
                chat.connected = True
            elif step == "replaced":
                chat.producer_fifo = deque([b"new"])
            play.note(bool(chat.writable()))
        for _ in range(100):
            if chat.producer_fifo and chat.connected:
                try:
                    chat.initiate_send()
                except Exception as exc:
                    play.note(exc)
                    break
        play.note(bytes(wire), bool(chat.writable()))
        return play.lines()


PUTS = st.one_of(
    st.tuples(st.sampled_from(["push", "push_with_producer"]), st.sampled_from(sorted(ITEMS))),
    st.tuples(st.sampled_from(["append", "extend"]), st.sampled_from(sorted(ITEMS))),
)
OTHERS = st.tuples(
    st.sampled_from(
        [
            "initiate_send",
            "handle_write",
            "close_when_done",
            "discard_buffers",
            "unconnected",
            "connected",
            "replaced",
        ]
    ),
    st.none(),
)


@FEW
@given(st.lists(st.one_of(PUTS, PUTS, OTHERS), max_size=8), st.sampled_from([None, "ascii", "utf-8"]))
def test_the_queue(steps: list[Any], encoding: Any) -> None:
    same(queue, steps, [], 65536, encoding)


@FEW
@given(
    st.lists(PUTS.filter(lambda put: "str" not in put[1]), max_size=8),
    st.lists(st.sampled_from([0, 1, 3, 5, 1000, "error"]), max_size=8),
    st.sampled_from([4, 5, 65536]),
)
def test_the_queue_when_there_is_little_room(steps: list[Any], room: list[Any], size: int) -> None:
    same(queue, steps, room, size, None)


@pytest.mark.parametrize("step", ["push", "push_with_producer", "append", "appendleft"])
@pytest.mark.parametrize("item", list(ITEMS))
def test_each_item(item: str, step: str) -> None:
    all_same(
        queue,
        [
            ([(step, item)], room, size, encoding)
            for room in ([], [0, 2, 2, 2, 0])
            for size in (4, 65536)
            for encoding in (None, "utf-8")
            if item != "wide str" or (not room and size > 4)  # sent in part it is cut in the wrong place
        ],
    )


def produced(library: Library, data: Any, size: int) -> list[Any]:
    producer = library.asynchat.simple_producer(data, size)
    return [(producer.more(), producer.data) for _ in range(len(data) // size + 3)]


@pytest.mark.parametrize("size", [1, 2, 3, 512])
@pytest.mark.parametrize("data", [b"", b"a", b"abcdef"])
def test_simple_producer(data: bytes, size: int) -> None:
    same(produced, data, size)
    same(lambda library: [library.asynchat.simple_producer(b"x").buffer_size])


# Through the loop: whatever fills the queue, the loop notices


def put(chat: Any, way: str) -> None:
    fifo = chat.producer_fifo
    if way in ("append", "appendleft"):
        getattr(fifo, way)(b"data")
    elif way == "insert":
        fifo.insert(0, b"data")
    elif way in ("extend", "extendleft"):
        getattr(fifo, way)([b"ta", b"da"])
    elif way == "+=":
        chat.producer_fifo += [b"data"]
    elif way == "+= on the queue itself":
        fifo += [b"data"]
    elif way == "a deque":
        chat.producer_fifo = deque([b"data"])
    elif way == "a list":
        chat.producer_fifo = [b"data"]
    elif way == "a list, filled later":
        chat.producer_fifo = later = []
        chat.writable()
        later.append(b"data")
    elif way == "push":
        chat.push(b"data")
    elif way == "producer":
        chat.push_with_producer(chat.simple(b"data", 1))
    elif way == "close_when_done":
        chat.close_when_done()
    elif way == "swapped":
        chat.producer_fifo, chat.other = deque([b"data"]), chat.producer_fifo


WAYS = [
    "append",
    "appendleft",
    "insert",
    "extend",
    "extendleft",
    "+=",
    "+= on the queue itself",
    "a deque",
    "a list",
    "a list, filled later",
    "push",
    "producer",
    "close_when_done",
    "swapped",
]


def noticed(library: Library, driver: str, way: str, when: str, again: bool) -> list[Any]:
    """Nothing of the channel is overridden but what has to be: the loop has to know by itself."""
    with stage(library, driver) as play:

        class Chat(play.asynchat.async_chat):  # type: ignore[misc, name-defined]
            simple = play.asynchat.simple_producer

            def collect_incoming_data(self, data: bytes) -> None:
                put(self, way)

            def found_terminator(self) -> None:
                pass

        ours, peer = play.pair()
        chat = Chat(ours, play.map)
        chat.set_terminator(None)
        if when != "at once":
            play.turn(2)
        for _ in range(2 if again else 1):
            if when == "in a hook":
                try:
                    peer.send(b"go on")
                except BrokenPipeError:
                    break
            else:
                put(chat, way)
            play.turn(6)
            play.hear(peer)
        play.state(chat)
        return play.lines()


@pytest.mark.parametrize("way", WAYS)
def test_the_loop_notices(way: str) -> None:
    all_same(
        noticed,
        [
            (driver, way, when, again)
            for driver in DRIVERS
            for when in ("at once", "after turns", "in a hook")
            for again in (False, True)
        ],
    )


def much(library: Library, driver: str, kind: str) -> list[Any]:
    """More than the kernel takes at once: the rest follows as the peer reads, and then the end."""
    with stage(library, driver) as play:
        ours, peer = play.pair()
        data = bytes(range(256)) * 4096
        base = play.base(kind)
        channel = type("Channel", (base,), {"handle_close": lambda self: self.close()})(ours, play.map)
        if kind == "async_chat":
            channel.push(data)
            channel.close_when_done()
        else:
            channel.send(data)
        heard = sent(play, channel, peer, len(data), kind)
        play.note("all of it", heard == data, len(heard))
        play.state(channel)
        return [line for line in play.lines() if line != ("turn",)]


def sent(play: Stage, channel: Any, peer: Any, size: int, kind: str) -> bytes:
    peer.setblocking(False)
    heard = b""
    for _ in range(10_000):
        play.drive()
        try:
            heard += (more := peer.recv(1 << 20))
        except BlockingIOError:
            continue
        if not more or (kind != "async_chat" and len(heard) == size):
            break
    return heard


@pytest.mark.parametrize("kind", ["async_chat", "dispatcher_with_send"])
@pytest.mark.parametrize("driver", DRIVERS)
def test_more_than_the_kernel_takes(driver: str, kind: str) -> None:
    same(much, driver, kind)
