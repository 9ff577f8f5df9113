"""The modules' globals, replaced from outside as programs and their tests do: used where they stand."""

import errno
import io
import os
import select
import socket
import types
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest

from tests.compat.implementations import Library, all_same, same
from tests.compat.stage import CALLED, DRIVERS, Stage, stage


class Shim:
    """A module with some of its names replaced."""

    def __init__(self, module: Any, **names: Any) -> None:
        self.__dict__.update(names)
        self.__module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__module, name)


class FakePoll:
    """A poll object that finds everybody ready for all that was asked."""

    def __init__(self, play: Stage) -> None:
        self.play = play
        self.there: dict[int, int] = {}

    def register(self, fd: int, flags: int) -> None:
        self.play.note("register", flags)
        self.there[fd] = flags

    def poll(self, timeout: Any = None) -> list[Any]:
        self.play.note("poll", timeout)
        return list(self.there.items())


def fake_select(play: Stage) -> Callable[..., Any]:
    def call(r: list[Any], w: list[Any], e: list[Any], timeout: Any) -> Any:
        play.note("select", len(r), len(w), len(e), timeout)
        return r, w, e

    return call


def telling(play: Stage, **body: Any) -> Any:
    ours, peer = play.pair()
    cls = play.telling(type("Channel", (play.asyncore.dispatcher,), body), CALLED)
    made = cls(ours, play.map)
    made.peer = peer
    return made


def own_select(library: Library, driver: str, how: str) -> list[Any]:
    """A program's own `select`: the loop asks that one, and gives what it says."""
    with stage(library, driver) as play:
        telling(play, handle_read=lambda self: None)
        telling(play, readable=lambda self: False, handle_write=lambda self: None)
        fakes = {"select": fake_select(play), "poll": lambda: FakePoll(play)}
        if how == "the module":
            patch: Any = mock.patch.object(play.asyncore, "select", Shim(select, **fakes))
        else:
            patch = mock.patch.multiple(select, **fakes)
        play.turn()
        with patch:
            play.turn(2)
        play.map.popitem()
        play.turn()
        return play.lines()


@pytest.mark.parametrize("how", ["the module", "its functions"])
@pytest.mark.parametrize("driver", DRIVERS)
def test_a_select_of_ones_own(driver: str, how: str) -> None:
    same(own_select, driver, how)


def failing_select(library: Library, driver: str, raised: Any) -> list[Any]:
    with stage(library, driver) as play:
        telling(play)

        def fail(*args: Any) -> Any:
            raise raised

        poll = types.SimpleNamespace(register=lambda *args: None, poll=fail)
        with mock.patch.object(play.asyncore, "select", Shim(select, select=fail, poll=lambda: poll)):
            play.turn()
        return play.lines()


@pytest.mark.parametrize(
    "raised", [OSError(errno.EINTR, "so"), OSError(errno.EBADF, "so"), ValueError()], ids=repr
)
@pytest.mark.parametrize("driver", DRIVERS)
def test_a_select_that_fails(driver: str, raised: Any) -> None:
    same(failing_select, driver, raised)


def without_poll(library: Library) -> list[Any]:
    """`use_poll` where the system has no poll()."""
    with stage(library, "loop with poll") as play:
        names = types.SimpleNamespace(select=fake_select(play))
        telling(play)
        with mock.patch.object(play.asyncore, "select", names):
            play.turn()
        return play.lines()


def test_a_system_without_poll() -> None:
    same(without_poll)


def events(library: Library, driver: str, name: str, how: str) -> list[Any]:
    """`read`, `write`, `_exception`, `readwrite`: the loop delivers through them."""
    with stage(library, driver) as play:
        original = getattr(play.asyncore, name)

        def replaced(*args: Any) -> None:
            play.note(name, *args)
            if how == "wrapped":
                original(*args)
            elif how == "raises":
                raise LookupError

        def handle_read(self: Any) -> None:
            play.note("data", self.recv(10))

        ours, peer = play.pair(tcp=True)
        cls = type(
            "Channel", (play.asyncore.dispatcher,), {"handle_read": handle_read, "handle_write": print}
        )
        cls(ours, play.map)
        peer.send(b"data")
        peer.send(b"u", socket.MSG_OOB)
        play.arrived(ours, select.POLLPRI)
        play.arrived(ours)
        with mock.patch.object(play.asyncore, name, replaced):
            play.turn()
        return play.lines()


@pytest.mark.parametrize("name", ["read", "write", "_exception", "readwrite"])
@pytest.mark.parametrize("driver", DRIVERS)
def test_the_functions_that_deliver(driver: str, name: str) -> None:
    all_same(events, [(driver, name, how) for how in ("wrapped", "nothing", "raises")])


def turns(library: Library, driver: str, name: str) -> list[Any]:
    """`poll`, `poll2`, `poll3` and `loop`, replaced: who calls whom."""
    with stage(library, driver) as play:
        telling(play)

        def replaced(*args: Any, **options: Any) -> None:
            play.note(name, len(args), *(each for each in args if not isinstance(each, dict)), *options)

        with mock.patch.object(play.asyncore, name, replaced):
            play.turn()
        play.note(play.asyncore.poll3 is play.asyncore.poll2)
        return play.lines()


@pytest.mark.parametrize("name", ["poll", "poll2", "poll3", "loop"])
@pytest.mark.parametrize("driver", DRIVERS)
def test_the_functions_that_turn(driver: str, name: str) -> None:
    same(turns, driver, name)


def asleep(library: Library, driver: str) -> list[Any]:
    with stage(library, driver) as play:
        telling(play, readable=lambda self: False, writable=lambda self: False)
        slept: list[Any] = []
        with mock.patch.object(play.asyncore, "time", types.SimpleNamespace(sleep=slept.append)):
            play.turn(1, 7.5)
        play.note(slept)
        return play.lines()


@pytest.mark.parametrize("driver", ["loop", "poll"])
def test_the_clock(driver: str) -> None:
    """Only `sleep` of it is used, and only when nobody is willing."""
    same(asleep, driver)


class FakeSocket:
    """The socket of a program's test: no descriptor, and calls that are told."""

    def __init__(self, play: Stage, *args: Any) -> None:
        self.play = play
        self.calls: dict[str, Any] = {}
        play.note("socket", *(int(arg) for arg in args))

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any) -> Any:
            self.play.note(name, *args)
            result = self.calls.get(name)
            if isinstance(result, BaseException):
                raise result
            return result

        return call

    def fileno(self) -> int:
        return 12345

    def close(self) -> None:
        self.play.note("close")


def fake_sockets(library: Library, kind: str) -> list[Any]:
    """`asyncore.socket` replaced, as the tests of mail servers do."""
    with stage(library) as play:
        made: list[FakeSocket] = []

        def make(*args: Any) -> FakeSocket:
            made.append(FakeSocket(play, *args))
            return made[-1]

        with mock.patch.object(play.asyncore, "socket", Shim(socket, socket=make, SO_ERROR=77)):
            channel = play.base(kind)(None, play.map)
            channel.create_socket(socket.AF_INET6, socket.SOCK_DGRAM)
            play.note(channel.family_and_type == (socket.AF_INET6, socket.SOCK_DGRAM), channel._fileno)
            play.note(play.map == {12345: channel})
            made[0].calls["getsockopt"] = 2
            channel.set_reuse_addr()
            play.returns("bind", channel.bind, ("127.0.0.1", 25))
            play.returns("listen", channel.listen, 5)
            made[0].calls["getsockopt"] = 0
            channel.accepting = False
            made[0].calls["connect_ex"] = errno.EINPROGRESS
            play.returns("connect", channel.connect, ("127.0.0.1", 25))
            play.returns("write", channel.handle_write_event)
            made[0].calls["accept"] = ("a socket", "an address")
            play.returns("accept", channel.accept)
            made[0].calls["recv"] = b"data"
            play.returns("recv", channel.recv, 10)
            made[0].calls["send"] = 3
            play.returns("send", channel.send, b"data")
            play.returns("close", channel.close)
            play.note(len(play.map))
        return play.lines()


@pytest.mark.parametrize("kind", ["dispatcher", "dispatcher_with_send", "async_chat"])
def test_the_sockets(kind: str) -> None:
    same(fake_sockets, kind)


def fake_systems(library: Library, what: str) -> list[Any]:
    """`asyncore.os` and `asyncore.sys`."""
    with stage(library) as play:
        face, channel = play.asyncore, play.asyncore.dispatcher()
        if what == "a system of another name":
            with mock.patch.object(face, "os", Shim(os, name="nt")):
                channel.create_socket()
                backlog: list[int] = []
                channel.socket.close()
                channel.socket = types.SimpleNamespace(
                    listen=backlog.append, connect_ex=lambda address: errno.EINVAL, close=lambda: None
                )
                channel.listen(100)
                channel.listen(3)
                play.note(backlog)
                play.returns("connect", channel.connect, ("127.0.0.1", 1))
                channel.close()
        elif what == "no strerror":
            with mock.patch.object(face, "os", types.SimpleNamespace()):
                play.returns("known", face._strerror, errno.EPERM)
        elif what == "a strerror that fails":
            for failing in (ValueError, OverflowError, NameError):

                def strerror(number: int, failing: Any = failing) -> str:
                    raise failing

                with mock.patch.object(face, "os", types.SimpleNamespace(strerror=strerror)):
                    play.returns("known", face._strerror, errno.EPERM)
                    play.returns("unknown", face._strerror, 99999)
        elif what == "stderr":
            stream = io.StringIO()
            with mock.patch.object(face, "sys", types.SimpleNamespace(stderr=stream)):
                channel.log("to somewhere else")
            play.note(stream.getvalue())
        elif what == "exc_info":
            with mock.patch.object(face, "sys", types.SimpleNamespace(exc_info=lambda: (None, None, None))):
                play.returns("traceback", face.compact_traceback)
        return play.lines()


@pytest.mark.parametrize(
    "what", ["a system of another name", "no strerror", "a strerror that fails", "stderr", "exc_info"]
)
def test_the_systems(what: str) -> None:
    same(fake_systems, what)


def unwilling(self: Any) -> bool:
    return False


def classes(library: Library, name: str, driver: str) -> list[Any]:
    """A method of the class itself replaced: those who are there already mean it too."""
    with stage(library, driver) as play:
        base = play.asyncore.dispatcher

        class Channel(base):  # type: ignore[misc, valid-type]
            if name == "log_info":
                writable = unwilling  # or it would be told of each write event, which differs

        ours, peer = play.pair()
        channel = Channel(ours, play.map)
        play.turn(2)
        peer.send(b"data")

        def replaced(self: Any, *args: Any) -> Any:
            play.note(name, *args)
            return self.recv(10) and None if name == "handle_read" else False

        with mock.patch.object(base, name, replaced):
            play.turn(2)
        with mock.patch.object(Channel, name, replaced, create=True):
            play.turn(2)
        play.turn()
        play.state(channel)
        return play.lines()


@pytest.mark.parametrize(
    "name",
    [
        "readable",
        "writable",
        "handle_read",
        "handle_write",
        "handle_write_event",
        "handle_read_event",
        "log_info",
    ],
)
@pytest.mark.parametrize("driver", DRIVERS)
def test_a_method_of_the_class_replaced(driver: str, name: str) -> None:
    same(classes, name, driver)


def sets(library: Library, name: str, value: str) -> list[Any]:
    """`_DISCONNECTED` and `_reraised_exceptions`: programs add to them."""
    with stage(library) as play:
        ours, _ = play.pair()

        class Channel(play.asyncore.dispatcher):  # type: ignore[misc, name-defined]
            raised: Any = None

            def handle_close(self) -> None:
                play.note("close")

            def handle_error(self) -> None:
                play.note("error")

            def handle_read(self) -> None:
                raise self.raised

        channel = Channel(ours, play.map)
        new: Any = frozenset({errno.EIO}) if name == "_DISCONNECTED" else (LookupError,)
        with mock.patch.object(play.asyncore, name, new):
            for raised in (
                OSError(errno.EIO, ""),
                OSError(errno.EPIPE, ""),
                LookupError(),
                play.asyncore.ExitNow(),
            ):
                channel.raised = raised
                play.returns("read", play.asyncore.read, channel)
                play.returns("readwrite", play.asyncore.readwrite, channel, select.POLLIN)
                channel.socket = types.SimpleNamespace(
                    send=mock.Mock(side_effect=raised), recv=mock.Mock(side_effect=raised), close=lambda: None
                )
                play.returns("send", channel.send, b"data")
                play.returns("recv", channel.recv, 10)
        return play.lines()


@pytest.mark.parametrize("name", ["_DISCONNECTED", "_reraised_exceptions"])
def test_what_ends_a_connection_and_what_passes(name: str) -> None:
    same(sets, name, "")


def found(library: Library) -> list[Any]:
    with stage(library) as play:
        chat = type("Chat", (play.asynchat.async_chat,), {"collect_incoming_data": unwillingte(play)})()
        chat.set_terminator(b"\r\n")
        chat.recv = lambda size: b"data\r"
        with mock.patch.object(play.asynchat, "find_prefix_at_end", return_value=2):
            chat.handle_read()
        play.note(chat.ac_in_buffer)
        return play.lines()


def unwillingte(play: Stage) -> Callable[..., None]:
    return lambda self, data: play.note("collect", data)


def test_find_prefix_at_end_replaced() -> None:
    same(found)
