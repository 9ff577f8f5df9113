"""The map: any mapping, of anything with the methods, changed, swapped and shared behind the loop's back."""

import collections
import socket
import weakref
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any
from unittest import mock

import pytest

from tests.compat.implementations import OURS, Library, all_same, same
from tests.compat.stage import DRIVERS, Stage, stage


class Duck:
    """The least that the loop asks of an object: no dispatcher. `accepting` is asked where it is writable."""

    accepting = False

    def __init__(self, play: Stage, sock: Any, name: str, wants: str = "r") -> None:
        self.play, self.socket, self.name, self.wants = play, sock, name, wants

    def readable(self) -> bool:
        return "r" in self.wants

    def writable(self) -> bool:
        return "w" in self.wants

    def handle_read_event(self) -> None:
        try:
            self.play.note(self.name, "read", self.socket.recv(10))
        except BlockingIOError:
            self.play.note(self.name, "read", "nothing")

    def handle_write_event(self) -> None:
        self.play.note(self.name, "write")
        self.wants = self.wants.replace("w", "")

    def handle_expt_event(self) -> None:
        self.play.note(self.name, "expt")

    def handle_close(self) -> None:
        self.play.note(self.name, "closing")
        self.play.map.pop(self.socket.fileno(), None)

    def handle_error(self) -> None:
        self.play.note(self.name, "error")


def duck(play: Stage, name: str, wants: str = "r", cls: Any = Duck) -> tuple[Any, socket.socket]:
    ours, peer = play.pair()
    ours.setblocking(False)
    return cls(play, ours, name, wants), peer


def ducks(library: Library, driver: str, wants: str) -> list[Any]:
    with stage(library, driver) as play:
        one, peer = duck(play, "one", wants)
        play.map[one.socket.fileno()] = one
        play.turn()
        peer.send(b"hello")
        play.turn(2)
        one.wants = "rw"
        play.turn(2)
        one.wants = ""
        peer.send(b"again")
        play.turn()
        one.wants = "r"
        play.turn()
        peer.close()
        play.turn(1)
        return play.lines()


@pytest.mark.parametrize("wants", ["r", "w", "rw", ""])
@pytest.mark.parametrize("driver", DRIVERS)
def test_an_object_that_is_no_dispatcher(driver: str, wants: str) -> None:
    same(ducks, driver, wants)


class Slotted:
    """No `__dict__`, not hashable, equal to everything, false: whatever the loop keeps must not mind."""

    __slots__ = ("duck",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, *args: Any) -> None:
        self.duck = Duck(*args)

    def __eq__(self, other: Any) -> bool:
        return True

    def __bool__(self) -> bool:
        return False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.duck, name)


def odd_objects(library: Library, driver: str) -> list[Any]:
    with stage(library, driver) as play:
        pairs = [duck(play, name, "rw", Slotted) for name in ("one", "two")]
        for each, peer in pairs:
            play.map[each.duck.socket.fileno()] = each
            peer.send(b"for " + each.duck.name.encode())
            play.turn()
        one, peer = pairs[0]
        play.map[one.duck.socket.fileno()] = Slotted(play, one.duck.socket, "in its stead", "rw")
        peer.send(b"later")
        play.turn()
        return play.lines()


@pytest.mark.parametrize("driver", DRIVERS)
def test_objects_that_cannot_be_kept_or_compared(driver: str) -> None:
    same(odd_objects, driver)


def lacking(library: Library, driver: str, lack: str) -> list[Any]:
    """An object without one of the names that the loop asks for."""
    with stage(library, driver) as play:
        body = {
            name: value for name, value in vars(Duck).items() if name not in (lack, "__dict__", "__weakref__")
        }
        one, peer = duck(play, "one", "rw", type("Duck", (), body))
        play.map[one.socket.fileno()] = one
        peer.send(b"hello")
        play.turn(2)
        return play.lines()


@pytest.mark.parametrize(
    "lack", [name for name in vars(Duck) if not name.startswith("_")], ids=lambda name: f"no {name}"
)
def test_an_object_that_lacks_something(lack: str) -> None:
    all_same(lacking, [(driver, lack) for driver in DRIVERS])


def standing_in(library: Library, driver: str, how: str) -> list[Any]:
    """What stands in the map says that it is a dispatcher, and is not."""
    with stage(library, driver) as play:
        ours, peer = play.pair()

        def handle_read(self: Any) -> None:
            play.note("read", self.recv(10))

        body = {"handle_read": handle_read, "writable": lambda self: False}
        channel = type("Channel", (play.asyncore.dispatcher,), body)(ours, play.map)
        if how == "mock":
            double = mock.MagicMock(spec=type(channel))
            double.writable.return_value = False
            double.handle_read_event.side_effect = channel.handle_read_event
        else:
            double = weakref.proxy(channel)
        fd = channel._fileno
        play.map[fd] = double
        for _ in range(2):
            peer.send(b"data")
            play.turn()
        if how != "mock":
            channel.close()
            play.map[fd] = double
            double = channel = None
            play.turn()
            del play.map[fd]
            play.turn()
        return play.lines()


@pytest.mark.parametrize("how", ["proxy", "mock"])
@pytest.mark.parametrize("driver", DRIVERS)
def test_an_object_that_stands_in_for_a_dispatcher(driver: str, how: str) -> None:
    same(standing_in, driver, how)


# Kinds of mappings


class Own(MutableMapping[Any, Any]):
    """A mapping that is no dict."""

    def __init__(self) -> None:
        self.inner: dict[Any, Any] = {}

    def __getitem__(self, key: Any) -> Any:
        return self.inner[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        self.inner[key] = value

    def __delitem__(self, key: Any) -> None:
        del self.inner[key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.inner)

    def __len__(self) -> int:
        return len(self.inner)


class Least:
    """Has no more than the loop asks for: truth, `items`, `get`; and what channels need."""

    def __init__(self) -> None:
        self.inner: dict[Any, Any] = {}

    def __bool__(self) -> bool:
        return bool(self.inner)

    def items(self) -> Any:
        return self.inner.items()

    def values(self) -> Any:
        return self.inner.values()

    def get(self, key: Any) -> Any:
        return self.inner.get(key)

    def __contains__(self, key: Any) -> bool:
        return key in self.inner

    def __setitem__(self, key: Any, value: Any) -> None:
        self.inner[key] = value

    def __delitem__(self, key: Any) -> None:
        del self.inner[key]

    def __len__(self) -> int:
        return len(self.inner)


class Hiding(dict[Any, Any]):
    """A dict that shows nobody what it has while `hidden`."""

    hidden = False

    def items(self) -> Any:
        return [] if self.hidden else super().items()

    def get(self, key: Any, default: Any = None) -> Any:
        return None if self.hidden == "late" else super().get(key, default)


MAPPINGS: dict[str, Callable[[], Any]] = {
    "dict": dict,
    "OrderedDict": collections.OrderedDict,
    "defaultdict": lambda: collections.defaultdict(list),
    "UserDict": collections.UserDict,
    "WeakValueDictionary": weakref.WeakValueDictionary,
    "ChainMap": lambda: collections.ChainMap({}, {}),
    "own": Own,
    "least": Least,
    "hiding": Hiding,
}


def mapped(library: Library, driver: str, mapping: str) -> list[Any]:
    with stage(library, driver) as play:
        play.map = MAPPINGS[mapping]()

        class Channel(play.asyncore.dispatcher):  # type: ignore[misc, name-defined]
            name = ""

            def writable(self) -> bool:
                return False

            def handle_read(self) -> None:
                play.note(self.name, self.recv(10))

            def handle_close(self) -> None:
                play.note(self.name, "closing")
                self.close()

        play.turn()
        peers = {}
        for name in ("one", "two", "three"):
            ours, peers[name] = play.pair()
            channel = Channel(ours, play.map)
            channel.name = name
            peers[name].send(b"hello")
            setattr(play, name, channel)
            play.turn()
        del channel
        peers["two"].close()
        play.turn()
        play.note("left", len(play.map))
        del play.map[play.three._fileno]  # type: ignore[attr-defined]
        peers["three"].send(b"unheard")
        peers["one"].send(b"heard")
        play.turn()
        play.asyncore.close_all(play.map) if mapping != "least" else None
        play.note("left", len(play.map))
        return play.lines()


@pytest.mark.parametrize("mapping", list(MAPPINGS))
@pytest.mark.parametrize("driver", DRIVERS)
def test_any_mapping(driver: str, mapping: str) -> None:
    same(mapped, driver, mapping)


def hidden(library: Library, driver: str, how: Any) -> list[Any]:
    """A map whose own `items` and `get` say something else than `dict`'s."""
    with stage(library, driver) as play:
        play.map = Hiding()
        one, peer = duck(play, "one")
        play.map[one.socket.fileno()] = one
        peer.send(b"hello")
        play.map.hidden = how
        play.turn()
        play.map.hidden = False
        play.turn()
        return play.lines()


@pytest.mark.parametrize("how", [True, "late"])
@pytest.mark.parametrize("driver", DRIVERS)
def test_a_map_with_methods_of_its_own(driver: str, how: Any) -> None:
    same(hidden, driver, how)


def weak(library: Library, driver: str) -> list[Any]:
    """Channels that nobody holds are gone from the map, and from the loop."""
    with stage(library, driver) as play:
        play.map = weakref.WeakValueDictionary()
        kept, peer = duck(play, "kept")
        lost, lost_peer = duck(play, "lost")
        play.map[kept.socket.fileno()] = kept
        play.map[lost.socket.fileno()] = lost
        gone = weakref.ref(lost)
        peer.send(b"a")
        lost_peer.send(b"b")
        play.turn()
        lost_peer.send(b"c")
        peer.send(b"d")
        sock = lost.socket
        del lost
        play.note("gone", gone() is None, len(play.map))
        play.turn()
        play.note("unread", sock.recv(10))
        return play.lines()


@pytest.mark.parametrize("driver", DRIVERS)
def test_the_loop_keeps_no_channel_alive(driver: str) -> None:
    same(weak, driver)


# Changes between turns


def changed(library: Library, driver: str, change: str) -> list[Any]:
    with stage(library, driver) as play:
        (one, peer), (two, other) = duck(play, "one"), duck(play, "two")
        number = one.socket.fileno()
        play.map[number] = one
        peer.send(b"a")
        play.turn()
        peer.send(b"b")
        other.send(b"c")
        if change == "replaced":
            play.map[number] = Duck(play, one.socket, "another")
        elif change == "swapped":
            play.map = {number: Duck(play, one.socket, "in another map"), two.socket.fileno(): two}
        elif change == "copied":
            play.map = dict(play.map)
        elif change == "emptied":
            play.map.clear()
        elif change == "emptied and filled":
            play.map.clear()
            play.map[two.socket.fileno()] = two
        elif change == "under another key":
            play.map[two.socket.fileno()] = play.map.pop(number)
        elif change == "twice in it":
            play.map[two.socket.fileno()] = one
            one.wants = ""
            play.turn()
            one.wants = "r"
        elif change == "in two maps":
            first, play.map = play.map, {number: Duck(play, one.socket, "second map's")}
            play.turn()
            peer.send(b"d")
            play.map = first
        play.turn(2)
        for each in (peer, other):
            each.send(b"z")
        play.turn(2)
        return play.lines()


@pytest.mark.parametrize(
    "change",
    [
        "nothing",
        "replaced",
        "swapped",
        "copied",
        "emptied",
        "emptied and filled",
        "under another key",
        "twice in it",
        "in two maps",
    ],
)
@pytest.mark.parametrize("driver", DRIVERS)
def test_a_map_changed_between_turns(driver: str, change: str) -> None:
    same(changed, driver, change)


def in_order(library: Library, driver: str, change: str) -> list[Any]:
    """Who is ready in one turn gets its event in the order of the map, whoever was ready first."""
    with stage(library, driver) as play:
        peers = []

        class Channel(play.asyncore.dispatcher):  # type: ignore[misc, name-defined]
            name = ""

            def writable(self) -> bool:
                return False

            def handle_read(self) -> None:
                play.note(self.name, "read", self.recv(10))

        for name in ("one", "two", "three", "four", "five"):
            if change == "ducks" and name in ("one", "four"):
                each, peer = duck(play, name)
                play.map[each.socket.fileno()] = each
            else:
                ours, peer = play.pair()
                Channel(ours, play.map).name = name
            peers.append(peer)
        play.turn()
        first, second, *_ = play.map.values()
        if change == "came again":
            first.del_channel()
            first.set_socket(first.socket)
        elif change == "added again":
            second.add_channel()
        elif change == "came again by hand":
            play.map.pop(first.socket.fileno())
            play.turn()
            play.map[first.socket.fileno()] = first
        elif change == "replaced by hand":
            play.map[second.socket.fileno()] = Duck(play, second.socket, "another")
        for _ in range(2):
            play.turn()
            for peer in reversed(peers):
                peer.send(b"data")
            play.turn()
        return play.lines()


@pytest.mark.parametrize(
    "change", ["nothing", "came again", "added again", "came again by hand", "replaced by hand", "ducks"]
)
@pytest.mark.parametrize("driver", DRIVERS)
def test_the_order_within_a_turn(driver: str, change: str) -> None:
    same(in_order, driver, change)


def reused(library: Library, driver: str, between: bool) -> list[Any]:
    """A descriptor closed, and its number given to another, with the same object in the map or a new one."""
    with stage(library, driver) as play:
        one, peer = duck(play, "one")
        number = one.socket.fileno()
        play.map[number] = one
        peer.send(b"a")
        play.turn()
        one.socket.close()
        peer.close()
        fresh, fresh_peer = socket.socketpair()
        with fresh, fresh_peer:
            if fresh.fileno() != number:
                raise AssertionError("the lowest free number was not given")
            fresh.setblocking(False)
            if between:
                play.map[number] = Duck(play, fresh, "new")
            else:
                one.socket = fresh
            play.turn()
            fresh_peer.send(b"b")
            play.turn(2)
            play.map.clear()
        return play.lines()


@pytest.mark.parametrize("between", [True, False])
@pytest.mark.parametrize("driver", DRIVERS)
def test_a_number_used_again(driver: str, between: bool) -> None:
    same(reused, driver, between)


def default_map(library: Library, driver: str) -> list[Any]:
    """`socket_map` is looked up when it is needed, by channels and loop alike."""
    with stage(library, driver) as play:
        one, peer = duck(play, "one")
        two, other = duck(play, "two")
        first = play.asyncore.socket_map
        play.map = None
        try:
            first[one.socket.fileno()] = one
            peer.send(b"a")
            play.turn()
            play.asyncore.socket_map = {two.socket.fileno(): two}
            peer.send(b"unheard")
            other.send(b"b")
            play.turn()
            made = play.asyncore.dispatcher()
            made.create_socket()
            play.note(
                "in the new map", made in play.asyncore.socket_map.values(), len(play.asyncore.socket_map)
            )
            play.asyncore.close_all({})
            made.close()
            play.note("left", len(play.asyncore.socket_map), len(first))
        finally:
            play.asyncore.socket_map = first
        play.turn()
        return play.lines()


@pytest.mark.parametrize("driver", DRIVERS)
def test_the_default_map_swapped(driver: str) -> None:
    same(default_map, driver)


# Changes in the middle of a turn


def midway(library: Library, driver: str, change: str) -> list[Any]:
    """Two are ready; whichever is first does something to the other. Nobody knows which is first."""
    with stage(library, driver) as play:
        lines: list[Any] = []

        class Meddler(Duck):
            def handle_read_event(self) -> None:
                other = two if self is one else one
                number = other.socket.fileno()
                lines.append("read")
                self.socket.recv(10)
                if change == "remove":
                    play.map.pop(number, None)
                elif change == "close":
                    play.map.pop(number, None)
                    other.socket.close()
                elif change == "clear":
                    play.map.clear()
                elif change == "unwilling":
                    other.wants = ""
                elif change == "add":
                    play.map[third.socket.fileno()] = third

        (one, peer), (two, other_peer) = duck(play, "one", cls=Meddler), duck(play, "two", cls=Meddler)
        third, third_peer = duck(play, "third")
        for each in (one, two):
            play.map[each.socket.fileno()] = each
        for each_peer in (peer, other_peer, third_peer):
            each_peer.send(b"data")
        play.turn()
        play.note(lines)
        play.turn()
        play.note(lines, len(play.map))
        play.map.clear()
        return play.lines()


@pytest.mark.parametrize("change", ["nothing", "remove", "close", "clear", "unwilling", "add"])
@pytest.mark.parametrize("driver", DRIVERS)
def test_a_map_changed_in_the_middle_of_a_turn(driver: str, change: str) -> None:
    same(midway, driver, change)


def itself(library: Library, driver: str, change: str) -> list[Any]:
    """One is readable and writable at once, and changes things in between."""
    with stage(library, driver) as play:

        class Changing(Duck):
            def handle_read_event(self) -> None:
                super().handle_read_event()
                number = self.socket.fileno()
                if change == "remove":
                    del play.map[number]
                elif change == "unwilling":
                    self.wants = ""
                elif change == "raise":
                    raise ValueError

        one, peer = duck(play, "one", "rw", Changing)
        play.map[one.socket.fileno()] = one
        peer.send(b"data")
        play.turn(2)
        return play.lines()


@pytest.mark.parametrize("change", ["nothing", "remove", "unwilling", "raise"])
@pytest.mark.parametrize("driver", DRIVERS)
def test_a_channel_that_changes_between_its_two_events(driver: str, change: str) -> None:
    same(itself, driver, change)


def while_asked(library: Library, driver: str, change: str) -> list[Any]:
    """A predicate that changes the map while the loop asks everybody."""
    with stage(library, driver) as play:
        (one, peer), (two, other) = duck(play, "one"), duck(play, "two")

        def readable() -> bool:
            if change == "add":
                play.map[two.socket.fileno()] = two
            elif change == "remove itself":
                play.map.pop(one.socket.fileno(), None)
            elif change == "remove the next":
                play.map.pop(two.socket.fileno(), None)
            return True

        one.readable = readable  # type: ignore[method-assign]
        play.map[one.socket.fileno()] = one
        if change == "remove the next":
            play.map[two.socket.fileno()] = two
        peer.send(b"a")
        other.send(b"b")
        play.turn(2)
        return play.lines()


@pytest.mark.parametrize("change", ["add", "remove itself", "remove the next"])
@pytest.mark.parametrize("driver", DRIVERS)
def test_a_predicate_that_changes_the_map(driver: str, change: str) -> None:
    same(while_asked, driver, change)


def in_mid_turn(library: Library, driver: str, change: str) -> list[Any]:
    """What happens in the end: not in which turn, nor how often."""
    with stage(library, driver) as play:

        class Changing(Duck):
            def handle_read_event(self) -> None:
                super().handle_read_event()
                number = self.socket.fileno()
                if change == "replace":
                    play.map[number] = Duck(play, self.socket, "another", "rw")
                elif change == "turn":
                    play.drive()

        one, peer = duck(play, "one", "rw", Changing)
        play.map[one.socket.fileno()] = one
        peer.send(b"data")
        play.turn(4)
        return sorted({line for line in play.lines() if line != ("turn",) and "nothing" not in line})


@pytest.mark.parametrize("change", ["replace", "turn"])
@pytest.mark.parametrize("driver", DRIVERS)
def test_nothing_is_lost_by_changes_in_mid_turn(driver: str, change: str) -> None:
    same(in_mid_turn, driver, change)


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_turn_within_a_turn_leaves_nothing_stale(driver: str) -> None:
    """The inner turn sees to all who are ready; ours does not call them again for the outer one's sake."""
    with stage(OURS, driver) as play:

        class Turning(Duck):
            def handle_read_event(self) -> None:
                super().handle_read_event()
                play.drive()

        for name in ("one", "two", "three"):
            each, peer = duck(play, name, cls=Turning)
            play.map[each.socket.fileno()] = each
            peer.send(b"data")
        play.drive()
        assert sorted(play.lines()) == [(name, "read", b"data") for name in ("one", "three", "two")]


# Keys


def keyed(library: Library, driver: str, key: str) -> list[Any]:
    """A program's map need not be keyed by numbers; what select takes is anything with `fileno`."""
    with stage(library, driver) as play:
        one, peer = duck(play, "one", "rw")
        keys = {"socket": one.socket, "object": Keyed(one.socket), "closed": -1, "too high": 999_999}
        play.map[keys[key]] = one
        peer.send(b"data")
        play.turn(2)
        play.map = {keys[key]: one}  # a new map every turn, as some do
        peer.send(b"more")
        play.turn()
        return play.lines()


class Keyed:
    def __init__(self, sock: Any) -> None:
        self.sock = sock

    def fileno(self) -> int:
        return int(self.sock.fileno())


@pytest.mark.parametrize(
    ("driver", "key"),
    [("poll", "socket"), ("poll", "object"), ("loop", "socket"), *((driver, "closed") for driver in DRIVERS)],
)
def test_keys_that_are_no_descriptors(driver: str, key: str) -> None:
    same(keyed, driver, key)
