"""Any method may be overridden: in a subclass, on one object, or by whatever stands in the map instead.

Where a hook alone is overridden everything else is stock, so that a shortcut past an overridden method,
or past one that calls it, shows.
"""

import select
import socket
from typing import Any

import pytest

from tests.compat.implementations import Library, all_same, same
from tests.compat.plays import BODIES, CAST, hooks_of, refused
from tests.compat.stage import CALLED, DRIVERS, PREDICATES, Error, stage

NAMES = [f"{kind}-{play.__name__}" for kind, play in CAST]


def told(library: Library, kind: str, play: Any, driver: str) -> list[Any]:
    """All hooks tell, and are as they were."""
    with stage(library, driver) as scene:
        base = type("Base", (scene.base(kind),), BODIES[kind])
        cls = scene.telling(base, hooks_of(kind))
        play(scene, cls)
        return scene.lines()


@pytest.mark.parametrize(("kind", "play"), CAST, ids=NAMES)
@pytest.mark.parametrize("driver", DRIVERS)
def test_the_order_of_hooks(kind: str, play: Any, driver: str) -> None:
    same(told, kind, play, driver)


BEHAVIOURS = ("super", "nothing", "raise", "close", "OSError")
#: Enough of them for each driver: there are many hooks.
SOME = {"loop": ("super", "nothing", "close"), "loop with poll": BEHAVIOURS}


def override(scene: Any, hook: str, behaviour: str, original: Any) -> Any:
    """A method that tells of being called, and then behaves so. *original* takes `self` first."""
    busy: list[Any] = []

    def method(*args: Any, **options: Any) -> Any:
        scene.note(hook, "overridden", *args[1:])
        channel = args[0]
        if behaviour == "super":
            return original(*args, **options)
        if behaviour == "raise":
            raise Error(hook)
        if behaviour == "OSError":
            raise OSError(5, "an error, they say")
        if behaviour == "close" and not busy:
            busy.append(channel)  # hooks that closing calls
            try:
                channel.close()
            finally:
                busy.pop()
        return None

    return method


def perform(scene: Any, play: Any, make: Any) -> None:
    """Play. What the play calls itself may be overridden as well, and raise."""
    try:
        play(scene, make)
    except AssertionError:
        raise
    except Exception as exc:
        scene.note("the play raised", exc)


def overridden(
    library: Library, kind: str, play: Any, hook: str, way: str, behaviour: str, driver: str
) -> Any:
    with stage(library, driver) as scene:
        base = type("Channel", (scene.base(kind),), BODIES[kind])
        if not hasattr(base, hook):
            return ["no such hook"]
        method = override(scene, hook, behaviour, getattr(base, hook))
        cls = type("Channel", (base,), {hook: method}) if way == "class" else base

        def make(*args: Any) -> Any:
            channel = cls(*args)
            if way == "instance":
                setattr(channel, hook, lambda *args, **options: method(channel, *args, **options))
            return channel

        perform(scene, play, make)
        return scene.lines()


def is_meant(play: Any, hook: str, behaviour: str) -> bool:
    """Whether `differences` says that these differ."""
    if behaviour == "super":
        return False
    # A descriptor closed and left in the map; a channel without a socket; a refused connection left open.
    return hook in ("del_channel", "set_socket") or (
        play is refused and hook in ("handle_close", "close", "log_info")
    )


@pytest.mark.parametrize("way", ["class", "instance"])
@pytest.mark.parametrize(("kind", "play"), CAST, ids=NAMES)
def test_one_hook_overridden(kind: str, play: Any, way: str) -> None:
    cases = [
        (kind, play, hook, way, behaviour, driver)
        for hook in hooks_of(kind)
        for driver, behaviours in SOME.items()
        for behaviour in (behaviours if way == "class" else ("super", "close"))
        if not is_meant(play, hook, behaviour)
    ]
    all_same(overridden, cases)


def predicate(library: Library, kind: str, play: Any, which: str, way: str, answers: Any, driver: str) -> Any:
    """A predicate that answers so, turn by turn, and from then on the last."""
    with stage(library, driver) as scene:
        left = list(answers)

        def method(*args: Any) -> Any:
            answer = left.pop(0) if len(left) > 1 else left[0]
            scene.note(which, answer)
            if answer is Error:
                raise Error
            return answer

        cls = type("Channel", (scene.base(kind),), BODIES[kind] | ({which: method} if way == "class" else {}))
        cls = scene.telling(cls, CALLED)

        def make(*args: Any) -> Any:
            channel = cls(*args)
            if way == "instance":
                setattr(channel, which, method)
            return channel

        perform(scene, play, make)
        return scene.lines()


ANSWERS = [
    (True,),
    (False,),
    (False, True),
    (True, False, True),
    ("yes",),
    (None,),
    (Error, True),
    ([], [1], []),
]


@pytest.mark.parametrize("way", ["class", "instance"])
@pytest.mark.parametrize("which", PREDICATES)
@pytest.mark.parametrize(("kind", "play"), CAST, ids=NAMES)
def test_predicates(kind: str, play: Any, which: str, way: str) -> None:
    cases = [(kind, play, which, way, answers, driver) for answers in ANSWERS for driver in ("loop", "poll2")]
    all_same(predicate, cases)


class Proxy:
    """Stands in the map for a channel and gives what it does not have itself from there."""

    def __init__(self, inner: Any, own: dict[str, Any]) -> None:
        self.inner, self.own = inner, own

    def __getattr__(self, name: str) -> Any:
        if name in self.own:
            return self.own[name]
        return getattr(self.inner, name)


def proxied(library: Library, kind: str, play: Any, hook: str, behaviour: str, driver: str) -> Any:
    with stage(library, driver) as scene:
        base = scene.telling(type("Channel", (scene.base(kind),), BODIES[kind]), CALLED)

        def make(*args: Any) -> Any:
            channel = base(*args)
            own = {}
            if hook != "none":
                method = override(scene, hook, behaviour, getattr(base, hook))
                own[hook] = lambda *args: method(channel, *args)

            def add_channel(map: Any = None) -> None:
                scene.map[channel._fileno] = Proxy(channel, own)

            channel.add_channel = add_channel
            if channel._fileno is not None:
                add_channel()
            return channel

        perform(scene, play, make)
        return scene.lines()


@pytest.mark.parametrize(("kind", "play"), CAST, ids=NAMES)
def test_reached_by_getattr(kind: str, play: Any) -> None:
    cases = [(kind, play, "none", "", driver) for driver in DRIVERS]
    cases += [
        (kind, play, hook, behaviour, driver)
        for hook in CALLED
        for driver, behaviours in SOME.items()
        for behaviour in behaviours
    ]
    all_same(proxied, cases)


def borrowed(library: Library, which: str, driver: str) -> list[Any]:
    """A class that takes a stock predicate from another, and a channel that gets its own all the same."""
    with stage(library, driver) as scene:
        stock = getattr(scene.asyncore.dispatcher, which)
        body = {"handle_read": lambda self: scene.note("read", self.recv(9)), "writable": lambda self: False}
        body["handle_write"] = lambda self: scene.note("write")
        ours, peer = scene.pair()
        channel = type("Channel", (scene.base("async_chat"),), {**body, which: stock})(ours, scene.map)
        for answer in (True, False, True):
            peer.send(b"data")
            scene.turn()
            setattr(channel, which, lambda answer=answer: answer)
            scene.turn()
        delattr(channel, which)
        scene.turn()
        return scene.lines()


@pytest.mark.parametrize("which", PREDICATES)
@pytest.mark.parametrize("driver", DRIVERS)
def test_a_borrowed_predicate(driver: str, which: str) -> None:
    same(borrowed, which, driver)


def of_another_class(library: Library, kind: str, driver: str) -> list[Any]:
    """A channel that goes on as one of another class, and comes back."""
    with stage(library, driver) as scene:
        body = {"handle_read": lambda self: scene.note("read", self.recv(9))}
        first = type("First", (scene.base(kind),), body)
        body = {"readable": lambda self: False, "writable": lambda self: True}
        body["handle_write"] = lambda self: scene.note("write")
        second = type("Second", (first,), body)
        ours, peer = scene.pair()
        channel = first(ours, scene.map)
        for cls in (first, second, first):
            channel.__class__ = cls
            peer.send(b"data")
            scene.turn(2)
            scene.note(type(channel) is cls, channel.__class__ is cls, isinstance(channel, second))
        scene.returns("no class", setattr, channel, "__class__", 5)
        return scene.lines()


@pytest.mark.parametrize("kind", ["dispatcher", "dispatcher_with_send", "async_chat"])
@pytest.mark.parametrize("driver", DRIVERS)
def test_a_channel_of_another_class(driver: str, kind: str) -> None:
    same(of_another_class, kind, driver)


def put_in_place_later(library: Library, hook: str, driver: str) -> list[Any]:
    """A channel that had its event, which came to nothing, gets a hook of its own, and loses it again."""
    with stage(library, driver) as scene:
        ours, peer = scene.pair(tcp=True)
        channel = scene.asyncore.dispatcher(ours, scene.map)
        channel.handle_read = lambda: None
        if "expt" in hook:
            peer.send(b"u", socket.MSG_OOB)
            scene.arrived(ours, select.POLLPRI)
        scene.turn(3)
        setattr(channel, hook, lambda: scene.note(hook))
        scene.turn()
        delattr(channel, hook)
        scene.turn(2)
        return scene.lines()


@pytest.mark.parametrize("hook", ["handle_write", "handle_write_event", "handle_expt", "handle_expt_event"])
@pytest.mark.parametrize("driver", DRIVERS)
def test_a_hook_put_in_place_later(driver: str, hook: str) -> None:
    same(put_in_place_later, hook, driver)
