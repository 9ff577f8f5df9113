"""file_dispatcher and file_wrapper: pipes, regular files, and what else has a descriptor."""

import gc
import os
import socket
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

from tests.compat.implementations import Library, all_same, same
from tests.compat.stage import DRIVERS, Stage, stage


def opened(play: Stage, kind: str) -> tuple[int, Any]:
    """A descriptor to read from, and the other end."""
    if kind == "pipe":
        reader, writer = os.pipe()
        return reader, play.holding(open(writer, "wb", buffering=0))
    if kind == "socket":
        ours, peer = socket.socketpair()
        return ours.detach(), play.holding(Sending(peer))
    path = Path(play.folder()) / "file"
    path.write_bytes(b"what the file has")
    if kind == "file":
        return os.open(path, os.O_RDONLY), play.holding(open(path, "ab", buffering=0))
    return os.open("/dev/zero", os.O_RDONLY), play.holding(open(os.devnull, "wb", buffering=0))


class Sending:
    """A socket that is written to like a file."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.write = sock.send
        self.close = sock.close


def read(library: Library, driver: str, kind: str, given: str) -> list[Any]:
    with stage(library, driver) as play:
        number, other = opened(play, kind)

        class Channel(play.asyncore.file_dispatcher):  # type: ignore[misc, name-defined]
            def writable(self) -> bool:
                return False

            def handle_read(self) -> None:
                play.note("read", self.recv(20))

            def handle_expt(self) -> None:
                play.note("expt")

            def handle_close(self) -> None:
                play.note("closing")
                self.close()

        with open(number, "rb", buffering=0) as file:
            channel = Channel(file if given == "a file" else number, play.map)
            play.note(channel.socket.fileno() != number, channel._fileno == channel.socket.fileno())
            play.note(
                os.get_blocking(number), os.get_blocking(channel._fileno), type(channel.socket).__name__
            )
            play.note(os.get_inheritable(channel._fileno))
        play.state(channel)
        play.turn()
        other.write(b"and more")
        play.turn(3)
        other.close()
        play.turn(2)
        play.state(channel)
        channel.close()
        return play.lines()


@pytest.mark.parametrize("kind", ["pipe", "socket", "file", "device"])
@pytest.mark.parametrize("driver", DRIVERS)
def test_reading(driver: str, kind: str) -> None:
    all_same(read, [(driver, kind, given) for given in ("a number", "a file")])


def written(library: Library, driver: str, kind: str) -> list[Any]:
    with stage(library, driver) as play:
        if kind == "pipe":
            reader, number = os.pipe()
        else:
            path = Path(play.folder()) / "file"
            number = os.open(path, os.O_WRONLY | os.O_CREAT)
            reader = os.open(path, os.O_RDONLY)

        class Channel(play.asyncore.file_dispatcher):  # type: ignore[misc, name-defined]
            left = [b"one", b"two", b"three"]

            def readable(self) -> bool:
                return False

            def writable(self) -> bool:
                return bool(self.left)

            def handle_write(self) -> None:
                play.note("write", self.send(self.left.pop(0)))

        channel = Channel(number, play.map)
        os.close(number)
        play.turn(5)
        play.note(os.read(reader, 100))
        os.close(reader)
        if kind == "pipe":
            channel.left.append(b"nobody reads this")
            play.turn(2)
        play.state(channel)
        channel.close()
        return play.lines()


@pytest.mark.parametrize("kind", ["pipe", "file"])
@pytest.mark.parametrize("driver", DRIVERS)
def test_writing(driver: str, kind: str) -> None:
    same(written, driver, kind)


def beside(library: Library, driver: str) -> list[Any]:
    """A regular file, which is always ready, starves nobody and keeps nobody waiting."""
    with stage(library, driver) as play:
        number, _ = opened(play, "file")
        ours, peer = play.pair()

        def handle_read(self: Any) -> None:
            self.got = self.__dict__.get("got", b"") + self.recv(5)

        body = {"handle_read": handle_read, "writable": lambda self: False}
        file = type(
            "File", (play.asyncore.file_dispatcher,), {**body, "handle_close": lambda self: self.close()}
        )(number, play.map)
        os.close(number)
        channel = type("Channel", (play.asyncore.dispatcher,), body)(ours, play.map)
        for data in (b"one", b"two"):
            peer.send(data)
            play.turn(3)
        play.note(file.got, channel.got)
        file.close()
        peer.send(b"3")
        play.turn()
        play.note(channel.got)
        return play.lines()


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_file_beside_a_socket(driver: str) -> None:
    same(beside, driver)


def wrapped(library: Library) -> list[Any]:
    """`file_wrapper` by itself."""
    with stage(library) as play:
        reader, writer = os.pipe()
        wrapper, other = play.asyncore.file_wrapper(reader), play.asyncore.file_wrapper(writer)
        os.close(reader)
        os.close(writer)
        play.note(wrapper.fileno() == wrapper.fd, wrapper.fd not in (reader, writer))
        play.note(other.send(b"one"), other.write(b"two"), wrapper.recv(3), wrapper.read(10))
        play.returns("option", wrapper.getsockopt, socket.SOL_SOCKET, socket.SO_ERROR)
        play.returns("option", wrapper.getsockopt, socket.SOL_SOCKET, socket.SO_ERROR, 0)
        play.returns("option", wrapper.getsockopt, socket.SOL_SOCKET, socket.SO_ERROR, 4)
        play.returns("option", wrapper.getsockopt, socket.SOL_SOCKET, socket.SO_REUSEADDR)
        play.returns("option", wrapper.getsockopt, socket.IPPROTO_TCP, socket.SO_ERROR, buflen=None)
        play.returns("close", other.close)
        play.note(wrapper.recv(5), other.fileno())
        play.returns("close", other.close)
        play.returns("send", other.send, b"more")
        os.close(wrapper.fd)
        play.returns("close", wrapper.close)
        play.note(wrapper.fd)
        play.returns("close", wrapper.close)
        play.returns("made", play.asyncore.file_wrapper, -1)
        return play.lines()


# The descriptor that could not be duplicated: the object has no `fd`, and its end complains of that.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_wrapper() -> None:
    same(wrapped)


def dropped(library: Library) -> list[Any]:
    with stage(library) as play:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with open(os.devnull) as file:
                wrapper = play.asyncore.file_wrapper(file.fileno())
            number = wrapper.fd
            play._made.clear()
            del wrapper
            gc.collect()
            play.note([each.category.__name__ for each in caught])
        play.returns("closed", os.fstat, number)
        return play.lines()


def test_a_wrapper_that_is_not_closed() -> None:
    same(dropped)


def not_a_file(library: Library, what: Any) -> list[Any]:
    with stage(library) as play:
        play.returns("made", play.asyncore.file_dispatcher, what, play.map)
        play.note(len(play.map))
        return play.lines()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("what", [-1, 999_999, "name", None, object()], ids=lambda what: type(what).__name__)
def test_what_is_no_file(what: Any) -> None:
    same(not_a_file, what)
    assert sys.exception() is None
