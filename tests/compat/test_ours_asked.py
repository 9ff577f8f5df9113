"""Who is asked every turn, and what the kernel is told: the rules at the head of `reactor.compat.polling`."""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import select
import socket
import threading
import time
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from reactor.compat import asynchat, asyncore, polling
from reactor.compat.polling import existing_poller, poller_of

PATIENCE = 5.0


class Chat(asynchat.async_chat):
    """Upper-cases lines."""

    def __init__(self, sock: Any, map: Any) -> None:
        super().__init__(sock, map)
        self.set_terminator(b"\n")

    def collect_incoming_data(self, data: bytes) -> None:
        self._collect_incoming_data(data)

    def found_terminator(self) -> None:
        self.push(self._get_data().upper() + b"\n")


class Stage:
    """A map, a channel in it and its peer."""

    def __init__(self, chat_class: Any = Chat) -> None:
        self.map: dict[int, Any] = {}
        ours, self.peer = socket.socketpair()
        self.peer.settimeout(PATIENCE)
        self.chat = chat_class(ours, self.map)

    def turn(self, count: int = 1) -> None:
        asyncore.loop(0, map=self.map, count=count)

    def answers(self) -> bool:
        """Whether the channel is served."""
        self.peer.send(b"a\n")
        asyncore.loop(PATIENCE, map=self.map, count=1)
        return self.peer.recv(10) == b"A\n"

    def events(self) -> int:
        """What the kernel watches the channel for."""
        poller = existing_poller(self.map)
        assert poller is not None
        return poller._watched.get(self.chat._fileno, 0)

    def close(self) -> None:
        asyncore.close_all(self.map, ignore_all=True)
        self.peer.close()


@pytest.fixture
def stage() -> Iterator[Stage]:
    those = Stage()
    yield those
    those.close()


class Recorder:
    """Stands for the kernel's selector, and remembers what it was told."""

    def __init__(self, kernel: Any) -> None:
        self.kernel = kernel
        self.told: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name in ("register", "modify", "unregister"):
            self.told.append(name)
        return getattr(self.kernel, name)


def test_an_active_channel_costs_the_kernel_nothing_either(stage: Stage) -> None:
    stage.turn()
    poller = poller_of(stage.map)
    poller._kernel = recorder = Recorder(poller._kernel)
    for _ in range(5):
        assert stage.answers()
    assert recorder.told == []


def test_what_cannot_be_sent_at_once_is_told_twice(stage: Stage) -> None:
    stage.turn()
    poller = poller_of(stage.map)
    poller._kernel = recorder = Recorder(poller._kernel)
    stage.chat.push(b"x" * 1_000_000)
    received = 0
    while received < 1_000_000:
        stage.turn()
        received += len(stage.peer.recv(1 << 20))
    stage.turn(2)
    assert recorder.told == ["modify", "modify"]


def stop_being_connected(chat: Any) -> None:
    chat.connected = False
    chat.connecting = True


CHANGES: dict[str, Callable[[Any], object]] = {
    "appended": lambda chat: chat.producer_fifo.append(b"data"),
    "appended on the left": lambda chat: chat.producer_fifo.appendleft(b"data"),
    "extended": lambda chat: chat.producer_fifo.extend([b"data"]),
    "extended on the left": lambda chat: chat.producer_fifo.extendleft([b"data"]),
    "added": lambda chat: chat.producer_fifo.__iadd__([b"data"]),
    "inserted": lambda chat: chat.producer_fifo.insert(0, b"data"),
    "replaced": lambda chat: setattr(chat, "producer_fifo", deque([b"data"])),
    "connecting": stop_being_connected,
    "a predicate of its own": lambda chat: setattr(chat, "writable", lambda: True),
    "a class that is patched": lambda chat: setattr(type(chat), "writable", lambda self: True),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_changes_an_answer_is_noticed(change: Callable[[Any], object]) -> None:
    class Own(Chat):
        pass

    stage = Stage(Own)
    try:
        stage.turn()
        assert not stage.events() & select.POLLOUT
        change(stage.chat)
        poller_of(stage.map).prepare(True)
        assert stage.events() & select.POLLOUT
    finally:
        stage.close()


def test_a_fifo_of_the_programs_own_is_asked_again_and_again(stage: Stage) -> None:
    stage.chat.producer_fifo = []
    stage.turn()
    stage.chat.producer_fifo.append(b"data")
    stage.turn()
    assert stage.peer.recv(10) == b"data"


def test_a_fifo_that_is_emptied_gets_no_event(stage: Stage) -> None:
    writes = []

    class Own(Chat):
        def handle_write(self) -> None:
            writes.append(len(self.producer_fifo))
            super().handle_write()

    other = Stage(Own)
    try:
        other.chat.producer_fifo.append(b"data")
        poller_of(other.map).prepare(True)
        other.chat.producer_fifo.clear()
        other.turn(3)
        assert writes == []
        assert not other.events() & select.POLLOUT
    finally:
        other.close()


def test_a_predicate_of_its_own_and_back(stage: Stage) -> None:
    stage.turn()
    asked = []
    stage.chat.readable = lambda: asked.append(1)
    stage.turn(3)
    assert len(asked) == 3
    assert stage.events() == 0
    del stage.chat.readable
    assert stage.answers()
    assert len(asked) == 3


def test_a_subclass_that_asks_its_super_and_has_one_of_its_own() -> None:
    class Careful(Chat):
        open = True

        def readable(self) -> bool:
            return self.open and super().readable()

    stage = Stage(Careful)
    try:
        assert stage.answers()
        stage.chat.open = False
        stage.turn()
        assert stage.events() == 0
        stage.chat.open = True
        assert stage.answers()
    finally:
        stage.close()


@pytest.mark.parametrize("method", ["readable", "writable"])
def test_only_what_is_overridden_is_asked(method: str) -> None:
    asked = []

    def answer(self: Any) -> Any:
        asked.append(method)
        return getattr(asynchat.async_chat, method)(self)

    stage = Stage(type("Own", (Chat,), {method: answer}))
    try:
        stage.turn(4)
        assert asked == [method] * 4
        assert stage.answers()
    finally:
        stage.close()


def test_attributes_set_in_ways_of_its_own() -> None:
    class Bunch(Chat):
        def __setattr__(self, name: str, value: Any) -> None:
            self.__dict__[name] = value

    stage = Stage(Bunch)
    try:
        assert stage.chat.socket is stage.chat.__dict__["socket"]
        assert stage.answers()
        stage.chat.producer_fifo.append(b"data")
        stage.turn()
        assert stage.peer.recv(10) == b"data"
    finally:
        stage.close()


def test_out_buffer_assigned(stage: Stage) -> None:
    ours, peer = socket.socketpair()
    with peer:
        sender = asyncore.dispatcher_with_send(ours, stage.map)
        stage.turn(2)
        sender.out_buffer = b"data"
        stage.turn()
        assert peer.recv(10) == b"data"
        sender.close()


# The map


@pytest.mark.parametrize("size", ["small", "large"])
def test_a_map_changed_by_hand(stage: Stage, size: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if size == "large":
        monkeypatch.setattr(polling, "LARGE", 0)
    stage.turn()
    fd = stage.chat._fileno
    channel = stage.map.pop(fd)
    stage.peer.send(b"a\n")
    stage.turn()
    stage.map[fd] = channel
    asyncore.loop(PATIENCE, map=stage.map, count=1)
    assert stage.peer.recv(10) == b"A\n"


@pytest.mark.parametrize("size", ["small", "large"])
def test_a_channel_replaced_by_hand(stage: Stage, size: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the same number, in a map that was compared a moment ago: noticed before the loop waits."""
    if size == "large":
        monkeypatch.setattr(polling, "LARGE", 0)
        monkeypatch.setattr(polling, "COMPARE_INTERVAL", PATIENCE)
    stage.turn(2)
    old = stage.chat
    new = stage.map[old._fileno] = Chat(None, stage.map)
    new.socket, new._fileno, new.connected = old.socket, old._fileno, True
    new.push(b"from the new one\n")
    stage.peer.send(b"a\n")
    got = b""
    deadline = time.monotonic() + PATIENCE
    while not got.endswith(b"A\n"):
        assert time.monotonic() < deadline
        asyncore.loop(PATIENCE, map=stage.map, count=1)
        with contextlib.suppress(BlockingIOError):
            got += stage.peer.recv(100, socket.MSG_DONTWAIT)
    assert got == b"from the new one\nA\n"
    assert old.incoming == []


def test_others_in_a_large_map(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as before, compared a moment ago, and nothing to do: it is compared again before the wait."""
    monkeypatch.setattr(polling, "LARGE", 0)
    monkeypatch.setattr(polling, "COMPARE_INTERVAL", PATIENCE)
    other = Stage()
    try:
        stage.turn(2)
        del stage.map[stage.chat._fileno]
        stage.map[other.chat._fileno] = other.chat
        other.peer.send(b"a\n")
        asyncore.loop(None, map=stage.map, count=2)  # waits for ever if it does not know of the other one
        other.peer.settimeout(0)
        assert other.peer.recv(10) == b"A\n"
    finally:
        stage.chat.socket.close()
        other.chat.close()
        other.close()


def test_channels_that_are_equal(stage: Stage) -> None:
    class Equal(Chat):
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = None  # type: ignore[assignment]

    other = Stage(Equal)
    try:
        other.turn(2)
        new = other.map[other.chat._fileno] = Equal(None, other.map)
        new.socket, new._fileno, new.connected = other.chat.socket, other.chat._fileno, True
        assert other.answers()
        assert new._now_socket is not None
        poller = poller_of(other.map)
        assert poller.seats(new._fileno, new)
    finally:
        other.close()


def test_a_proxy_in_place_of_the_channel(stage: Stage) -> None:
    """It says that it is equal: that it is another is noticed when there is an event."""
    stage.turn()
    stage.map[stage.chat._fileno] = weakref.proxy(stage.chat)
    stage.peer.send(b"a\n")
    stage.turn(2)
    assert stage.peer.recv(10) == b"A\n"


def test_one_channel_in_two_maps(stage: Stage) -> None:
    second: dict[int, Any] = {}
    stage.turn()
    first = poller_of(stage.map)  # kept, as a loop that runs does
    stage.chat.add_channel(second)
    assert stage.answers()
    stage.peer.send(b"b\n")
    asyncore.loop(PATIENCE, map=second, count=1)
    assert stage.peer.recv(10) == b"B\n"
    stage.chat.producer_fifo.append(b"data")
    asyncore.loop(0, map=second, count=1)
    assert stage.peer.recv(10) == b"data"
    stage.chat.producer_fifo.append(b"more data")
    stage.turn()
    assert stage.peer.recv(10) == b"more data"
    assert poller_of(stage.map) is first


def test_a_map_that_nothing_is_kept_of(stage: Stage) -> None:
    """Neither is what its channels tell."""
    stage.map = OrderedDict(stage.map)
    stage.turn()
    poller = poller_of(stage.map)
    for _ in range(5):
        stage.chat.connected = True
        stage.turn()
    assert stage.chat._seat is not None
    assert not poller.changed


def test_a_class_for_each_connection(stage: Stage) -> None:
    """They are gone with their connections."""
    classes = []
    for _ in range(100):
        other = Stage(type("Own", (Chat,), {}))
        other.chat.del_channel()
        other.chat._map = stage.map
        other.chat.set_socket(other.chat.socket)
        stage.turn()
        classes.append(weakref.ref(type(other.chat)))
        other.chat.close()
        other.close()
        del other
    stage.turn()
    gc.collect()
    assert sum(ref() is not None for ref in classes) < 30
    assert stage.answers()


def test_a_regular_file(stage: Stage, tmp_path: Any) -> None:
    """Which epoll does not take, and poll always has ready."""
    path = tmp_path / "file"
    path.write_bytes(b"contents")
    got = []

    class Reader(asyncore.file_dispatcher):
        def writable(self) -> bool:
            return False

        def handle_read(self) -> None:
            got.append(self.recv(100))

    with path.open("rb") as file:
        reader = Reader(file, stage.map)
    asyncore.loop(PATIENCE, map=stage.map, count=1)
    assert got == [b"contents"]
    assert stage.answers()
    reader.close()


def test_a_socket_closed_behind_our_back(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """By somebody who did not take it out of the map: its channel is told, and the loop ends."""
    monkeypatch.setattr(polling, "SEARCH_INTERVAL", 0.01)
    stage.turn()
    stage.chat.socket.close()
    deadline = time.monotonic() + PATIENCE
    while stage.map:
        assert time.monotonic() < deadline
        asyncore.loop(0.01, map=stage.map, count=1)


def test_a_descriptor_that_a_child_still_has(stage: Stage) -> None:
    """Closed by hand, the kernel goes on about it as long as somebody else has it open."""
    stage.turn()
    fd = stage.chat._fileno
    again = os.dup(fd)
    quiet, peer = socket.socketpair()
    try:
        Chat(quiet, stage.map)
        del stage.map[fd]
        os.close(stage.chat.socket.detach())
        stage.peer.send(b"nobody there")
        poller = poller_of(stage.map)
        assert select.select([poller.fileno()], [], [], 0)[0]
        stage.turn(2)
        assert not select.select([poller.fileno()], [], [], 0)[0]
    finally:
        os.close(again)
        peer.close()


# Turns within turns, threads, forks, ends


def test_a_handler_that_takes_turns(stage: Stage) -> None:
    """What the outer turn had left was seen by the inner one."""
    errors: list[Any] = []

    class Nested(Chat):
        def found_terminator(self) -> None:
            super().found_terminator()
            asyncore.loop(0, map=self._map, count=1)

        def recv(self, size: int) -> Any:
            try:
                return super().recv(size)
            except BlockingIOError as exc:
                errors.append(exc)
                raise

    pairs = [socket.socketpair() for _ in range(3)]
    for ours, peer in pairs:
        Nested(ours, stage.map)
        peer.send(b"a\n")
    asyncore.loop(PATIENCE, map=stage.map, count=1)
    for _, peer in pairs:
        peer.settimeout(PATIENCE)
        assert peer.recv(10) == b"A\n"
        peer.close()
    assert errors == []


def test_a_channel_added_by_another_thread(stage: Stage) -> None:
    stage.turn()
    ours, peer = socket.socketpair()
    with peer:
        peer.settimeout(PATIENCE)
        thread = threading.Thread(target=Chat, args=(ours, stage.map))
        thread.start()
        thread.join()
        peer.send(b"b\n")
        asyncore.loop(PATIENCE, map=stage.map, count=1)
        assert peer.recv(10) == b"B\n"


def test_two_loops_in_two_threads() -> None:
    stages = [Stage(), Stage()]
    threads = [threading.Thread(target=asyncore.loop, args=(0.05, False, each.map)) for each in stages]
    for thread in threads:
        thread.start()
    try:
        for each in stages:
            each.peer.send(b"a\n")
            assert each.peer.recv(10) == b"A\n"
    finally:
        for each in stages:
            each.peer.close()
        for thread in threads:
            thread.join(PATIENCE)
    assert [each.map for each in stages] == [{}, {}]


def test_a_child_leaves_its_parents_selector_alone(stage: Stage) -> None:
    stage.turn()
    child = os.fork()
    if not child:
        code = 1
        try:
            asyncore.close_all(stage.map)
            ours, peer = socket.socketpair()
            channels: dict[int, Any] = {}
            Chat(ours, channels)
            peer.send(b"c\n")
            asyncore.loop(PATIENCE, map=channels, count=1)
            code = 0 if peer.recv(10) == b"C\n" else 2
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert stage.answers()


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="there is no /proc")
def test_nothing_is_left_of_maps_that_are_gone() -> None:
    gc.collect()
    before = open_descriptors()
    for _ in range(5):  # closed
        stage = Stage()
        stage.turn()
        stage.close()
    assert open_descriptors() == before
    for _ in range(5):  # abandoned
        stage = Stage()
        stage.turn()
        stage.peer.close()
        stage.chat.socket.close()
    del stage
    gc.collect()
    assert open_descriptors() == before


def test_a_map_that_empties_ends_the_loop_and_its_selector(stage: Stage) -> None:
    stage.peer.close()
    asyncore.loop(PATIENCE, map=stage.map)
    assert existing_poller(stage.map) is None
    assert not stage.map


def test_a_selector_that_cannot_be_had_yet(stage: Stage) -> None:
    """Out of descriptors, the loop does without; later it has one."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    filler = [os.dup(stage.peer.fileno())]
    resource.setrlimit(resource.RLIMIT_NOFILE, (filler[0] + 1, limits[1]))
    try:
        with contextlib.suppress(OSError):
            while True:
                filler.append(os.dup(stage.peer.fileno()))
        assert stage.answers()
        assert stage.events() == 0
    finally:
        for fd in filler:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert stage.answers()
    assert stage.events()
