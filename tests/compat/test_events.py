"""`read`, `write`, `_exception` and `readwrite`: which methods an event calls, and where exceptions go."""

import errno
import itertools
import select
from functools import partial
from typing import Any

import pytest

from tests.compat.implementations import Library, all_same, reference, same
from tests.compat.stage import CALLED, Error, stage

FLAGS = [
    select.POLLIN,
    select.POLLOUT,
    select.POLLPRI,
    select.POLLHUP,
    select.POLLERR,
    select.POLLNVAL,
    0x2000,  # POLLRDHUP, which nobody asks for
]
EVERY_FLAGS = [
    sum(chosen) for count in range(len(FLAGS) + 1) for chosen in itertools.combinations(FLAGS, count)
]
ERRORS = [
    errno.EAGAIN,
    errno.EBADF,
    errno.ECONNABORTED,
    errno.ECONNREFUSED,
    errno.ECONNRESET,
    errno.EIO,
    errno.ENOTCONN,
    errno.EPIPE,
    errno.ESHUTDOWN,
    errno.ETIMEDOUT,
]


def so_they_say(number: int, library: Library) -> OSError:
    return OSError(number, "so they say")


RAISED = {
    "nothing": lambda library: None,
    "Error": lambda library: Error(),
    "ExitNow": lambda library: library.asyncore.ExitNow("now"),
    "KeyboardInterrupt": lambda library: KeyboardInterrupt(),
    "SystemExit": lambda library: SystemExit(3),
    "BaseException": lambda library: BaseException(),
    "GeneratorExit": lambda library: GeneratorExit(),
    **{errno.errorcode[number]: partial(so_they_say, number) for number in ERRORS},
    "OSError()": lambda library: OSError(),
}


class Duck:
    """Has the methods that events call, and nothing else. *which* of them raise."""

    def __init__(self, play: Any, raised: Any, which: tuple[str, ...] = CALLED[:4]) -> None:
        for hook in CALLED:
            setattr(self, hook, self.method(play, hook, raised if hook in which else None))

    def method(self, play: Any, hook: str, raised: Any) -> Any:
        def call(*args: Any) -> None:
            play.note(hook, *args)
            if raised is not None:
                raise raised

        return call


def event(
    library: Library, function: str, raised: str, which: tuple[str, ...], flags: list[int]
) -> list[Any]:
    with stage(library) as play:
        for each in flags:
            duck = Duck(play, RAISED[raised](library), which)
            args = [each] if function == "readwrite" else []
            play.returns(f"{function}{args}", getattr(play.asyncore, function), duck, *args)
        return play.lines()


@pytest.mark.parametrize("raised", list(RAISED))
@pytest.mark.parametrize("function", ["read", "write", "_exception", "readwrite"])
def test_an_event(function: str, raised: str) -> None:
    flags = EVERY_FLAGS if function == "readwrite" else [0]
    hooks = [CALLED[:4], *((hook,) for hook in CALLED)]
    all_same(event, [(function, raised, which, flags) for which in hooks])


def lacking(library: Library, function: str, lack: str) -> list[Any]:
    """An object without the method that an event calls."""
    with stage(library) as play:
        duck = Duck(play, None)
        delattr(duck, lack)
        for flags in EVERY_FLAGS if function == "readwrite" else [None]:
            play.returns(
                function, getattr(play.asyncore, function), duck, *([] if flags is None else [flags])
            )
        return play.lines()


@pytest.mark.parametrize("lack", CALLED)
@pytest.mark.parametrize("function", ["read", "write", "_exception", "readwrite"])
def test_a_method_that_is_not_there(function: str, lack: str) -> None:
    same(lacking, function, lack)


def through_the_loop(library: Library, driver: str, hook: str, raised: str) -> list[Any]:
    """What a hook of a real channel raises: contained, or through the loop."""
    with stage(library, driver) as play:
        ours, peer = play.pair()
        exception = RAISED[raised](library)

        def raising(channel: Any, *args: Any) -> None:
            play.note(hook)
            raise exception

        def handle_read(channel: Any) -> None:
            play.note("read", channel.recv(10))

        body = {
            "handle_read": handle_read,
            "handle_close": lambda channel: play.note("closing"),
            hook: raising,
        }
        channel = type("Channel", (play.asyncore.dispatcher,), body)(ours, play.map)
        peer.send(b"data")
        play.turn()
        peer.close()
        play.turn()
        play.state(channel)
        return play.lines()


@pytest.mark.parametrize("hook", ["handle_read", "handle_write", "handle_close", "handle_error"])
@pytest.mark.parametrize("raised", [name for name in RAISED if name != "nothing"])
def test_an_exception_through_the_loop(hook: str, raised: str) -> None:
    number = getattr(errno, raised, None)
    if hook == "handle_close" and number in reference().asyncore._DISCONNECTED:
        pytest.skip("differs: recv() calls handle_close() once")
    all_same(through_the_loop, [(driver, hook, raised) for driver in ("loop", "loop with poll")])
