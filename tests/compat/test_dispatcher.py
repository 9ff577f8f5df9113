"""A dispatcher's own calls: sockets of every state, errors of every kind, and what is told to people."""

import errno
import gc
import socket
import sys
import time
import warnings
import weakref
from typing import Any
from unittest import mock

import pytest

from reactor.compat import polling
from tests.compat.implementations import OURS, Library, all_same, same
from tests.compat.stage import CALLED, DRIVERS, PATIENCE, PREDICATES, Error, Stage, stage

ERRORS = [
    errno.EAGAIN,
    errno.EALREADY,
    errno.EBADF,
    errno.ECONNABORTED,
    errno.ECONNREFUSED,
    errno.ECONNRESET,
    errno.EHOSTUNREACH,
    errno.EINPROGRESS,
    errno.EINTR,
    errno.EINVAL,
    errno.EIO,
    errno.EISCONN,
    errno.ENOTCONN,
    errno.EPERM,
    errno.EPIPE,
    errno.ESHUTDOWN,
    errno.ETIMEDOUT,
    0,
]
KINDS = ["dispatcher", "dispatcher_with_send", "async_chat"]


class Fake:
    """A socket each of whose calls returns, or raises, what the test says."""

    type = socket.SOCK_STREAM

    def __init__(self, **results: Any) -> None:
        self.results = results

    def fileno(self) -> int:
        return 54321

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def call(*args: Any) -> Any:
            result = self.results.get(name)
            if isinstance(result, BaseException):
                raise result
            return result

        return call


def telling(play: Stage, kind: str, **body: Any) -> Any:
    return play.telling(
        type("Channel", (play.base(kind),), body), (*CALLED, "handle_connect", "handle_accepted")
    )


def made_of(library: Library, kind: str, what: Any) -> list[Any]:
    """The constructor, given a socket of some state or something that is none."""
    with stage(library) as play:
        cls = play.base(kind)
        socks: dict[str, Any] = {
            "connected": lambda: play.pair()[0],
            "connected TCP": lambda: play.pair(tcp=True)[0],
            "new": lambda: play.holding(socket.socket()),
            "listening": play.listener,
            "datagram": lambda: play.holding(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)),
            "closed": lambda: closed(play.pair()[0]),
            "none": lambda: None,
            "a number": lambda: 5,
            "fake": lambda: Fake(getpeername="a peer"),
            "broken": lambda: Fake(getpeername=OSError(errno.EIO, "broken")),
            "unconnected": lambda: Fake(getpeername=OSError(errno.EINVAL, "not connected")),
            "odd": lambda: Fake(getpeername=LookupError()),
        }
        sock = socks[what]()
        channels: list[Any] = []
        play.returns("made", lambda: channels.append(cls(sock, play.map)))
        play.note(len(play.map), len(play.asyncore.socket_map))
        for channel in channels:
            play.state(channel)
            play.note(channel.addr, channel._fileno is None, channel._map is play.map, repr(channel))
            if isinstance(sock, socket.socket):
                play.note(sock.gettimeout(), channel.socket is sock)
        play.map.clear()
        return play.lines()


def closed(sock: socket.socket) -> socket.socket:
    sock.close()
    return sock


@pytest.mark.parametrize("kind", KINDS)
def test_a_dispatcher_of_any_socket(kind: str) -> None:
    names = [
        "connected",
        "connected TCP",
        "new",
        "listening",
        "datagram",
        "closed",
        "none",
        "a number",
        "fake",
    ]
    all_same(made_of, [(kind, what) for what in [*names, "broken", "unconnected", "odd"]])


def failing(library: Library, kind: str, call: str, number: int) -> list[Any]:
    """A call of the socket that fails so."""
    with stage(library) as play:
        channel = telling(play, kind)(None, play.map)
        error = OSError(number, "so they say")
        results = {"getpeername": "", "connect_ex": number, "getsockopt": number}
        results |= dict.fromkeys(("accept", "send", "recv", "close", "bind", "listen", "setsockopt"), error)
        channel.set_socket(Fake(**results))
        channel.connected = True
        arguments: dict[str, tuple[Any, ...]] = {
            "send": (b"data",),
            "recv": (10,),
            "bind": ("an address",),
            "listen": (5,),
            "connect": ("an address",),
        }
        play.returns(call, getattr(channel, call), *arguments.get(call, ()))
        play.note(channel.connected, channel.accepting, channel.addr, len(play.map))
        return play.lines()


CALLS = [
    "accept",
    "send",
    "recv",
    "close",
    "bind",
    "listen",
    "connect",
    "set_reuse_addr",
    "handle_expt_event",
    "handle_read",
    "handle_accept",
]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("kind", KINDS)
def test_calls_that_fail(kind: str, call: str) -> None:
    numbers = ERRORS if call == "connect" else ERRORS[:-1]
    if call in ("accept", "handle_accept"):  # others differ: they cost that connection, not the listener
        numbers = [errno.EAGAIN, errno.ECONNABORTED, errno.EBADF, errno.EINVAL, errno.EIO]
    all_same(failing, [(kind, call, number) for number in numbers])


def connect_event(library: Library, number: int, event: str) -> list[Any]:
    """The end of a connection's beginning, told by the socket's SO_ERROR."""
    with stage(library) as play:
        channel = telling(play, "dispatcher")(None, play.map)
        channel.set_socket(Fake(getsockopt=number))
        channel.connecting = True
        play.returns(event, getattr(channel, event))
        play.note(channel.connected, len(play.map), channel.connecting if not number else "of no matter")
        return play.lines()


@pytest.mark.parametrize(
    "event", ["handle_connect_event", "handle_read_event", "handle_write_event", "handle_expt_event"]
)
def test_a_connection_that_is_made_or_not(event: str) -> None:
    all_same(connect_event, [(number, event) for number in [*ERRORS, 99999]])


def accepted(library: Library, gives: str) -> list[Any]:
    with stage(library) as play:
        channel = telling(play, "dispatcher")(None, play.map)
        sock = Fake()
        given: dict[str, Any] = {
            "a pair": (sock, "an address"),
            "None": None,
            "one": (sock,),
            "three": (sock, "an address", "more"),
            "TypeError": TypeError(),
            "LookupError": LookupError(),
        }
        channel.set_socket(Fake(accept=given[gives]))
        channel.accepting = True
        play.returns("accept", channel.accept)
        play.returns("handle_accept", channel.handle_accept)
        play.returns("read", play.asyncore.read, channel)
        play.state(channel)
        return play.lines()


@pytest.mark.parametrize("gives", ["a pair", "None", "one", "three", "TypeError", "LookupError"])
def test_what_accept_gives(gives: str) -> None:
    same(accepted, gives)


def overridden_accept(library: Library, driver: str, gives: Any) -> list[Any]:
    """`accept` that gives nothing, or what is no pair, in a listener of a loop."""
    with stage(library, driver) as play:
        listener = telling(play, "dispatcher", accept=lambda self: self.socket.accept() and gives)(
            None, play.map
        )
        listener.create_socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        client = play.holding(socket.create_connection(listener.socket.getsockname(), 5))
        play.arrived(listener.socket)
        play.turn(2)
        play.state(listener)
        client.close()
        return play.lines()


@pytest.mark.parametrize("driver", DRIVERS)
def test_accept_overridden(driver: str) -> None:
    all_same(overridden_accept, [(driver, gives) for gives in (None, (), (1, 2), (1,), "ab", 7)])


# What is told to people


def reprs(library: Library) -> list[Any]:
    with stage(library) as play:
        for kind in KINDS:
            channel = play.base(kind)()
            for attributes in (
                {},
                {"connected": True},
                {"accepting": True},
                {"accepting": True, "addr": ("host", 80)},
                {"addr": ("host", 80, 0, 0)},
                {"addr": "path"},
                {"addr": ""},
                {"addr": ("host", "http"), "connected": True},
                {"addr": 5, "accepting": False},
                {"addr": ("%d", 1)},
            ):
                for name, value in attributes.items():
                    setattr(channel, name, value)
                play.note(repr(channel), str(channel))
            play.note(hash(channel) == hash(channel), channel == channel, bool(channel))
        return play.lines()


def test_how_it_is_printed() -> None:
    same(reprs)


def logged(library: Library) -> list[Any]:
    with stage(library) as play:
        channel = play.asyncore.dispatcher()
        for message in ("words", 5, None, b"bytes", ("a", "tuple"), "%s", "é"):
            play.returns("log", channel.log, message)
            for kind in ("info", "error", "warning", "debug", "", None):
                play.returns("log_info", channel.log_info, message, kind)
        channel.ignore_log_types = ["info"]
        channel.log_info("ignored")
        channel.log_info("told", "warning")
        channel.ignore_log_types = "error"
        channel.log_info("ignored", type="error")
        channel.log_info("ignored", "err")
        for hook in ("handle_read", "handle_write", "handle_expt", "handle_connect", "handle_close"):
            play.returns(hook, getattr(channel, hook))
        channel = play.asyncore.dispatcher_with_send()
        channel.debug = True
        channel.set_socket(Fake(send=2))
        channel.send(b"data")
        return play.lines()


def test_what_is_logged() -> None:
    same(logged)


def error_told(library: Library, what: str) -> list[Any]:
    """`handle_error`: one line with the channel, the exception and where it came from; then it closes."""
    with stage(library) as play:

        class Channel(play.asyncore.dispatcher):  # type: ignore[misc, name-defined]
            def __repr__(self) -> str:
                if what == "repr":
                    raise Error
                return "<a channel>"

            def handle_close(self) -> None:
                play.note("close")

            def log_info(self, message: str, type: str = "info") -> None:
                play.note("log_info", message, type)
                if what == "log_info":
                    raise Error

            def handle_read(self) -> None:
                raise {"str": Unprintable(), "OSError": OSError(5, "words")}.get(what, ValueError("words"))

        channel = Channel(None, play.map)
        if what == "no exception":
            play.returns("handle_error", channel.handle_error)
        else:
            play.returns("read", play.asyncore.read, channel)
        return play.lines()


class Unprintable(Exception):
    def __str__(self) -> str:
        raise LookupError


@pytest.mark.parametrize("what", ["ValueError", "OSError", "repr", "log_info", "str", "no exception"])
def test_an_error_is_told(what: str) -> None:
    same(error_told, what)


def traced(library: Library) -> list[Any]:
    with stage(library) as play:
        compact = play.asyncore.compact_traceback

        def one() -> None:
            two()

        def two() -> None:
            raise ValueError("words")

        play.returns("none", compact)
        try:
            one()
        except ValueError as exc:
            (file, function, line), kind, value, info = compact()
            play.note(file == __file__, function, line == str(exc.__traceback__.tb_next.tb_next.tb_lineno))  # type: ignore[union-attr]
            play.note(kind is ValueError, value is exc, [part.split("|")[1] for part in info.split("] [")])
            play.note(info.count(file), info[0], info[-1], sys.exc_info()[1] is exc)
        return play.lines()


def test_compact_traceback() -> None:
    same(traced)


def fallen_through(library: Library) -> list[Any]:
    """What neither the channel nor its socket has."""
    with stage(library) as play:
        ours, _ = play.pair()
        for channel in (play.asyncore.dispatcher(), play.asyncore.dispatcher(ours, play.map)):
            play.returns("get", lambda channel=channel: channel.no_such_thing)
            play.note(hasattr(channel, "no_such_thing"), getattr(channel, "other", "missing"))
            play.note(hasattr(channel, "__len__"), hasattr(channel, "__index__"))
            channel.own = 5
            play.note(channel.own, "own" in vars(channel))
        return play.lines()


def test_attributes_that_nobody_has() -> None:
    same(fallen_through)


def caught(library: Library, defined_by: str) -> list[Any]:
    """A program that has a way of its own for attributes that are not there."""
    with stage(library) as play:
        ours, _ = play.pair()

        class Catcher:
            def __getattr__(self, name: str) -> Any:
                if name == "detach":
                    raise AttributeError(name)
                return f"caught {name}"

        bases = [play.asyncore.dispatcher, Catcher]
        channel = type("Channel", tuple(bases if defined_by == "base" else bases[::-1]), {})(ours, play.map)
        for name in ("family", "timeout", "shutdown", "no_such_thing"):
            play.note(name, getattr(channel, name))
        play.note(hasattr(channel, "detach"), hasattr(type(channel), "family"))
        return play.lines()


@pytest.mark.parametrize("defined_by", ["base", "mixin"])
def test_attributes_that_the_program_finds(defined_by: str) -> None:
    same(caught, defined_by)


def test_ours_falls_through_to_the_socket() -> None:
    with stage(OURS) as play:
        ours, _ = play.pair()
        channel = OURS.asyncore.dispatcher(ours, play.map)
        with pytest.warns(
            DeprecationWarning, match=r"dispatcher\.getsockname\b.*dispatcher\.socket\.getsockname\b"
        ):
            assert channel.getsockname() == ours.getsockname()
        with pytest.warns(DeprecationWarning, match="family"):
            assert channel.family == ours.family
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for name in ("connected", "addr", "socket", "close", "send", "recv", "accept", "listen", "bind"):
                assert getattr(channel, name, None) is not getattr(ours, name, 0), name


# Kept and let go


def let_go(library: Library, kind: str, driver: str) -> list[Any]:
    """A closed channel is nobody's: it is gone with its last reference, and so is a map."""
    with stage(library, driver) as play:
        channels = []
        for _ in range(3):
            ours, peer = play.pair()
            channels.append(play.base(kind)(ours, play.map))
        play.turn()
        references = [weakref.ref(channel) for channel in channels]
        for channel in channels:
            channel.close()
        del channel, channels
        gc.collect()
        play.note(sum(reference() is not None for reference in references))
        peer.close()
        return play.lines()


def test_a_closed_channel_is_gone() -> None:
    all_same(let_go, zip(KINDS, DRIVERS, strict=False))


def datagrams(library: Library, driver: str) -> list[Any]:
    """A UDP socket, with a handler that takes the datagrams itself."""
    with stage(library, driver) as play:

        def handle_read(self: Any) -> None:
            play.note("datagram", self.socket.recvfrom(100)[0])

        cls = type(
            "Channel",
            (play.asyncore.dispatcher,),
            {"handle_read": handle_read, "writable": lambda self: False},
        )
        channel = cls(None, play.map)
        channel.create_socket(socket.AF_INET, socket.SOCK_DGRAM)
        channel.bind(("127.0.0.1", 0))
        client = play.holding(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        for data in (b"one", b"", b"three"):
            client.sendto(data, channel.socket.getsockname())
            play.arrived(channel.socket)
            play.turn()
        play.state(channel)
        return play.lines()


@pytest.mark.parametrize("driver", DRIVERS)
def test_datagrams(driver: str) -> None:
    same(datagrams, driver)


def always_accepting(library: Library, driver: str, how: str) -> list[Any]:
    """A subclass that has its own ``accepting``, and is connected."""
    with stage(library, driver) as play:
        ours, peer = play.pair()
        body = {"accepting": True if how == "value" else property(lambda self: True)}
        body["handle_read"] = lambda self: play.note("read", self.recv(9))
        base = type("Base", (play.asyncore.dispatcher,), body)
        channel = play.telling(base, ("handle_accept",))(ours, play.map)
        channel.accept = lambda: play.note("accept", ours.recv(9))
        peer.send(b"data")
        play.turn()
        return play.lines()


@pytest.mark.parametrize("how", ["value", "property"])
@pytest.mark.parametrize("driver", DRIVERS)
def test_a_class_that_is_always_accepting(driver: str, how: str) -> None:
    same(always_accepting, driver, how)


def set_by_hand(library: Library, driver: str, name: str, value: Any, kind: str) -> list[Any]:
    """The attributes that programs set themselves decide who is asked and what an event means."""
    with stage(library, driver) as play:
        ours, peer = play.pair()

        def handle_read(self: Any) -> None:
            play.note("read", self.socket.recv(10))

        cls = type("Channel", (play.base(kind),), {"handle_read": handle_read})
        channel = play.telling(cls, ("handle_connect", "handle_accept", "handle_write"))(ours, play.map)
        play.turn()
        setattr(channel, name, value)
        play.turn()
        peer.send(b"data")
        play.turn(2)
        delattr(channel, name)
        play.returns("deleted", lambda: bool(getattr(channel, name, "missing")))
        if channel.socket.fileno() >= 0:
            peer.send(b"more")
            play.turn()
        return play.lines()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("connected", False),
        ("connected", 1),
        ("accepting", True),
        ("accepting", 0),
        ("connecting", True),
        ("closing", True),
        ("readable", lambda: False),
        ("writable", lambda: False),
        ("writable", lambda: 1),
    ],
)
def test_attributes_set_by_hand(kind: str, name: str, value: Any) -> None:
    all_same(set_by_hand, [(driver, name, value, kind) for driver in DRIVERS])


def buffered(library: Library, driver: str, way: str) -> list[Any]:
    """`out_buffer`, which programs set and add to."""
    with stage(library, driver) as play:
        ours, peer = play.pair()
        channel = play.asyncore.dispatcher_with_send(ours, play.map)
        play.turn(2)
        for _ in range(2):
            if way == "set":
                channel.out_buffer = b"data"
            elif way == "added":
                channel.out_buffer += b"data"
            elif way == "bytearray":
                channel.out_buffer = bytearray(b"data")
            elif way == "grown in place":
                channel.out_buffer = bytearray()
                play.turn()
                channel.out_buffer.extend(b"data")
            elif way == "unconnected":
                channel.connected = False
                channel.out_buffer = b"data"
            elif way == "send":
                play.returns("send", channel.send, b"data")
            elif way == "str":
                play.returns("send", channel.send, "data")
            elif way == "initiate_send":
                channel.out_buffer = b"data"
                play.returns("initiate_send", channel.initiate_send)
            play.note(bool(channel.writable()))
            play.turn(2)
            play.hear(peer)
            play.note(channel.out_buffer)
        return play.lines()


BUFFERED = (
    "set",
    "added",
    "bytearray",
    "grown in place",
    "unconnected",
    "send",
    "str",
    "initiate_send",
)


@pytest.mark.parametrize("way", BUFFERED)
@pytest.mark.parametrize("driver", DRIVERS)
def test_a_buffer_that_is_set(driver: str, way: str) -> None:
    same(buffered, driver, way)


def compared(library: Library, driver: str) -> list[Any]:
    """Channels that are equal to each other are not the same."""
    with stage(library, driver) as play:

        class Channel(play.asyncore.dispatcher):  # type: ignore[misc, name-defined]
            __hash__ = None  # type: ignore[assignment]
            name = ""

            def __eq__(self, other: Any) -> bool:
                return True

            def writable(self) -> bool:
                return False

            def handle_read(self) -> None:
                play.note(self.name, self.recv(10))

        ours, peer = play.pair()
        for name in ("one", "two"):
            channel = Channel(None, play.map)
            channel.socket, channel._fileno, channel.connected, channel.name = ours, ours.fileno(), True, name
            play.map[ours.fileno()] = channel
            peer.send(b"data")
            play.turn(2)
        return play.lines()


@pytest.mark.parametrize("driver", DRIVERS)
def test_channels_that_are_equal(driver: str) -> None:
    same(compared, driver)


def slots_and_more(library: Library, how: str, driver: str) -> list[Any]:
    """Classes that meddle with their attributes."""
    with stage(library, driver) as play:
        base = play.asynchat.async_chat
        told: list[str] = []

        class Setting(base):  # type: ignore[misc, valid-type]
            def __setattr__(self, name: str, value: Any) -> None:
                if not name.startswith("_"):
                    told.append(name)
                super().__setattr__(name, value)

        class Getting(base):  # type: ignore[misc, valid-type]
            def __getattribute__(self, name: str) -> Any:
                if name in PREDICATES:
                    play.note("asked", name)
                return super().__getattribute__(name)

        class Property(base):  # type: ignore[misc, valid-type]
            connected = property(lambda self: True, lambda self, value: None)

        class Slots(base):  # type: ignore[misc, valid-type]
            __slots__ = ("extra",)

        class Missing(base):  # type: ignore[misc, valid-type]
            def __getattr__(self, name: str) -> Any:
                if name.startswith("__"):
                    raise AttributeError(name)
                return f"made up {name}"

        classes = {"setattr": Setting, "getattribute": Getting, "property": Property, "slots": Slots}
        cls = {**classes, "getattr": Missing}[how]
        ours, peer = play.pair()
        chat = type("Chat", (cls,), {"collect_incoming_data": lambda self, data: self.push(data.upper())})(
            ours, play.map
        )
        chat.set_terminator(None)
        for data in (b"one", b"two"):
            play.turn()
            peer.send(data)
            play.turn(2)
            chat.producer_fifo.append(b"!")
            play.turn(2)
            play.hear(peer)
        play.note(sorted(set(told) & {"connected", "socket", "addr", "producer_fifo", "terminator"}))
        return play.lines()


@pytest.mark.parametrize("how", ["setattr", "getattribute", "property", "slots", "getattr"])
def test_classes_that_meddle_with_attributes(how: str) -> None:
    all_same(slots_and_more, [(how, driver) for driver in DRIVERS])


#: How a class comes to have a `socket` of its own.
OWN_SOCKET: dict[str, dict[str, Any]] = {
    "none": {},
    "value": {"socket": None},
    "__setattr__": {"__setattr__": lambda self, name, value: self.__dict__.__setitem__(name, value)},
}


def other_socket(library: Library, driver: str, how: str, own: str) -> list[Any]:
    """A channel that gets another socket, with the descriptor's number of the first or its own."""
    with stage(library, driver) as play:
        body = {"handle_read": lambda self: play.note(self.recv(10)), "writable": unwilling}
        body.update(OWN_SOCKET[own])
        ours, peer = play.pair()
        channel = telling(play, "dispatcher", **body)(ours, play.map)
        peer.send(b"first")
        play.turn()
        if how == "duplicated":  # as wrapping it does
            channel.socket = play.holding(socket.socket(fileno=ours.detach()))
        elif how == "the same number":
            number = ours.fileno()
            ours.close()
            other, peer = socket.socketpair()
            assert other.fileno() == number
            channel.socket = play.holding(other)
            play.holding(peer)
        elif how == "set_socket":
            other, peer = play.pair()
            channel.del_channel()
            channel.set_socket(other)
        elif how == "set_socket alone":
            other, peer = play.pair()
            channel.set_socket(other)
        channel.socket.setblocking(False)
        for data in (b"second", b"third"):
            peer.send(data)
            play.turn()
        peer.close()
        play.turn()
        play.state(channel)
        return play.lines()


def unwilling(self: Any) -> bool:
    return False


@pytest.mark.parametrize("own", OWN_SOCKET)
@pytest.mark.parametrize("how", ["duplicated", "the same number", "set_socket", "set_socket alone"])
@pytest.mark.parametrize("driver", DRIVERS)
def test_another_socket(driver: str, how: str, own: str) -> None:
    same(other_socket, driver, how, own)


@pytest.mark.parametrize(("asked", "driver"), [(False, "loop"), (True, "poll2")])
def test_ours_finds_a_socket_that_was_closed_behind_its_back(asked: bool, driver: str) -> None:
    with stage(OURS, driver) as play, mock.patch.object(polling, "SEARCH_INTERVAL", 0):
        ours, _ = play.pair()
        body: dict[str, Any] = {"handle_close": lambda self: self.close()}
        if asked:
            body["readable"] = lambda self: True
        channel = type("Channel", (OURS.asynchat.async_chat,), body)(ours, play.map)
        play.drive()
        channel.socket.close()
        end = time.monotonic() + PATIENCE
        while play.map:
            assert time.monotonic() < end, "nobody noticed"
            play.drive(0.01)


class Bare:
    """Stands for a socket, and has no more than a channel needs."""

    def __init__(self, sock: socket.socket) -> None:
        self.recv, self.send, self.close = sock.recv, sock.send, sock.close


def handed_on(library: Library, driver: str, how: str) -> list[Any]:
    """Another object reads from the descriptor now; the channel stays at it, and idle for some turns."""
    with stage(library, driver) as play, mock.patch.object(polling, "SEARCH_INTERVAL", 0):
        ours, peer = play.pair()

        def handle_read(self: Any) -> None:
            play.note("read", self.reader.recv(10))

        body = {"handle_read": handle_read, "writable": unwilling}
        channel = play.telling(type("Channel", (play.asyncore.dispatcher,), body), CALLED)(ours, play.map)
        play.turn()
        if how == "detached":
            channel.reader = play.holding(socket.socket(fileno=ours.detach()))
        else:
            channel.reader = channel.socket = Bare(ours)
        play.turn(2, timeout=0.001)
        peer.send(b"data")
        play.turn()
        return play.lines()


@pytest.mark.parametrize("how", ["detached", "no fileno"])
@pytest.mark.parametrize("driver", DRIVERS)
def test_a_socket_that_is_handed_on(driver: str, how: str) -> None:
    same(handed_on, driver, how)


def without_dispatcher_init(library: Library, driver: str) -> list[Any]:
    """A subclass that sets what it needs itself, and calls no constructor."""
    with stage(library, driver) as play:
        ours, peer = play.pair()

        class Channel(play.asyncore.dispatcher):  # type: ignore[misc, name-defined]
            def __init__(self) -> None:
                self._map = play.map
                self.socket = ours
                self._fileno = ours.fileno()
                self.add_channel()

            def handle_read(self) -> None:
                play.note(self.recv(10), bool(self.connected), bool(self.accepting))

            def handle_write(self) -> None:
                play.note("write")

        channel = Channel()
        peer.send(b"data")
        play.turn(2)
        play.note(repr(channel))
        channel.close()
        play.state(channel)
        return play.lines()


@pytest.mark.parametrize("driver", DRIVERS)
def test_no_constructor_called(driver: str) -> None:
    same(without_dispatcher_init, driver)
