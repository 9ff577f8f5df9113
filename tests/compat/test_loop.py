"""`loop`, `poll`, `poll2`, `close_all`: their arguments, how long they wait, when they end."""

import threading
import time
from typing import Any
from unittest import mock

import pytest

from tests.compat.implementations import OURS, Library, all_same, same
from tests.compat.stage import DRIVERS, PATIENCE, Error, Stage, stage


class Clock:
    """What is asked of the kernel and of the clock to wait, in place of waiting; no time passes."""

    def __init__(self) -> None:
        self.slept: list[Any] = []

    def sleep(self, seconds: Any) -> None:
        self.slept.append(seconds)
        if seconds is None or seconds < 0:
            raise ValueError

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


def channel(play: Stage, **body: Any) -> Any:
    ours, peer = play.pair()
    made = type("Channel", (play.asyncore.dispatcher,), {"writable": lambda self: False, **body})(
        ours, play.map
    )
    made.peer = peer
    return made


def counted(library: Library, use_poll: bool, count: Any, closes_at: int) -> list[Any]:
    """Turns are counted by a channel that is asked each turn; at one of them it leaves."""
    with stage(library) as play:
        turns: list[int] = []

        def readable(self: Any) -> bool:
            turns.append(1)
            if len(turns) == closes_at:
                play.map.clear()
            if len(turns) > 20:
                raise play.asyncore.ExitNow
            return True

        channel(play, readable=readable).peer.send(b"always something to read")
        play.returns("loop", play.asyncore.loop, 0, use_poll, play.map, count)
        play.note(len(turns), len(play.map))
        return play.lines()


@pytest.mark.parametrize("use_poll", [False, True, None, "yes"])
def test_how_many_turns(use_poll: Any) -> None:
    cases = [(use_poll, count, at) for count in (None, 0, 1, 5, -1, 2.5, True) for at in (0, 1, 3)]
    all_same(counted, cases)


def arguments(library: Library, driver: str, timeout: Any, there: str) -> list[Any]:
    """Timeouts of every kind, with something to read, nothing to read, nobody who wants to, nobody at all."""
    with stage(library, driver) as play:
        clock = Clock()
        if there == "something":
            channel(play, handle_read=lambda self: play.note("read", self.recv(9))).peer.send(b"data")
        elif there == "nobody willing":
            channel(play, readable=lambda self: False)
        with mock.patch.object(play.asyncore, "time", clock):
            play.returns(driver, play.drive, timeout)
        play.note(*clock.slept)
        return play.lines()


@pytest.mark.parametrize("there", ["something", "nobody at all"])
@pytest.mark.parametrize("timeout", [0, 0.0, 1e-9, 0.001, 5, None, -1], ids=repr)
@pytest.mark.parametrize("driver", DRIVERS)
def test_timeouts(driver: str, timeout: Any, there: str) -> None:
    same(arguments, driver, timeout, there)


@pytest.mark.parametrize("timeout", [0, 0.001, 5, None], ids=repr)
@pytest.mark.parametrize("driver", ["loop", "poll"])
def test_nobody_is_willing(driver: str, timeout: Any) -> None:
    """There is nothing to wait for: `time.sleep` of the module's own `time`."""
    same(arguments, driver, timeout, "nobody willing")


@pytest.mark.parametrize("driver", DRIVERS)
def test_an_empty_map_is_not_waited_for(driver: str) -> None:
    with stage(OURS, driver) as play:
        began = time.monotonic()
        play.drive(1.0)
        assert time.monotonic() - began < 0.5


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("there", ["something", "nothing", "unwilling"])
def test_ours_waits_as_long_as_it_is_told(driver: str, there: str) -> None:
    """Neither less, by more than the clock's grain, nor for ever; with something there, not at all."""
    with stage(OURS, driver) as play:
        willing = there != "unwilling"
        made = channel(play, readable=lambda self: willing, handle_read=lambda self: self.recv(9))
        if there == "something":
            made.peer.send(b"data")
        began = time.monotonic()
        play.drive(PATIENCE if there == "something" else 0.05)
        took = time.monotonic() - began
    assert took < PATIENCE / 2 if there == "something" else 0.045 <= took < PATIENCE


def woken(library: Library, driver: str) -> list[Any]:
    """What comes while it waits ends the wait, in whatever thread it comes from."""
    with stage(library, driver) as play:
        made = channel(play, handle_read=lambda self: play.note("read", self.recv(9)))
        thread = threading.Thread(target=made.peer.send, args=(b"late",))
        timer = threading.Timer(0.01, thread.start)
        timer.start()
        play.drive(PATIENCE)
        timer.join(PATIENCE)
        thread.join(PATIENCE)
        return play.lines()


@pytest.mark.parametrize("driver", DRIVERS)
def test_data_ends_the_wait(driver: str) -> None:
    same(woken, driver)


def added_elsewhere(library: Library, driver: str) -> list[Any]:
    """Another thread adds a channel: the loop has it from its next turn on."""
    with stage(library, driver) as play:
        channel(play)
        play.turn()

        def add() -> None:
            made = channel(play, handle_read=lambda self: play.note("read", self.recv(9)))
            made.peer.send(b"from another thread")

        thread = threading.Thread(target=add)
        thread.start()
        thread.join(PATIENCE)
        play.turn()
        return play.lines()


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_channel_added_by_another_thread(driver: str) -> None:
    same(added_elsewhere, driver)


def two_threads(library: Library, driver: str) -> list[Any]:
    """Two loops over two maps, each in its thread."""
    with stage(library, driver) as play:
        heard: dict[str, list[bytes]] = {"one": [], "two": []}
        maps: dict[str, Any] = {"one": {}, "two": {}}

        def run(name: str) -> None:
            ours, peer = play.pair()

            def handle_read(self: Any) -> None:
                heard[name].append(self.recv(4))
                if len(heard[name]) == 20:
                    self.close()

            body = {"writable": lambda self: False, "handle_read": handle_read}
            type("Channel", (play.asyncore.dispatcher,), body)(ours, maps[name])
            peer.send(b"data" * 20)
            play.asyncore.loop(PATIENCE, driver == "loop with poll", maps[name])

        threads = [threading.Thread(target=run, args=(name,)) for name in maps]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        play.note([len(each) for each in heard.values()], [len(each) for each in maps.values()])
        return play.lines()


@pytest.mark.parametrize("driver", ["loop", "loop with poll"])
def test_two_loops_in_two_threads(driver: str) -> None:
    same(two_threads, driver)


class Closing:
    """What `close_all` closes: anything that can be."""

    def __init__(self, play: Stage, name: str, raised: Any) -> None:
        self.play, self.name, self.raised = play, name, raised

    def close(self) -> None:
        self.play.note("close", self.name)
        if self.raised is not None:
            raise self.raised


def closed(library: Library, raised: str, ignore_all: Any, default: bool) -> list[Any]:
    with stage(library) as play:
        exceptions = {
            "nothing": None,
            "EBADF": OSError(9, "so they say"),
            "EIO": OSError(5, "so they say"),
            "Error": Error(),
            "ExitNow": play.asyncore.ExitNow(),
            "KeyboardInterrupt": KeyboardInterrupt(),
            "SystemExit": SystemExit(),
            "GeneratorExit": GeneratorExit(),
        }
        there: dict[Any, Any] = {}
        for number, name in enumerate(["before", raised, "after"]):
            there[number] = Closing(play, name, exceptions[raised] if name == raised else None)
        if default:
            with mock.patch.object(play.asyncore, "socket_map", there):
                play.returns("close_all", play.asyncore.close_all, None, ignore_all)
        else:
            play.returns("close_all", play.asyncore.close_all, map=there, ignore_all=ignore_all)
        play.note("left", len(there))
        return play.lines()


@pytest.mark.parametrize(
    "raised",
    ["nothing", "EBADF", "EIO", "Error", "ExitNow", "KeyboardInterrupt", "SystemExit", "GeneratorExit"],
)
def test_close_all(raised: str) -> None:
    all_same(closed, [(raised, ignore, default) for ignore in (False, True) for default in (False, True)])


def closing_others(library: Library, what: str) -> list[Any]:
    """A `close` that removes, or adds, while `close_all` goes through the map."""
    with stage(library) as play:
        there: dict[Any, Any] = {}

        class Meddling(Closing):
            def close(self) -> None:
                super().close()
                if what == "removes":
                    there.pop(2, None)
                elif what == "clears":
                    there.clear()
                else:
                    there[3] = Closing(play, "added", None)

        there.update({1: Meddling(play, "one", None), 2: Closing(play, "two", None)})
        play.returns("close_all", play.asyncore.close_all, there)
        play.note("left", len(there))
        return play.lines()


@pytest.mark.parametrize("what", ["removes", "clears", "adds"])
def test_close_all_when_the_map_changes(what: str) -> None:
    same(closing_others, what)


def real_ones_closed(library: Library, driver: str) -> list[Any]:
    with stage(library, driver) as play:
        made = [channel(play) for _ in range(3)]
        play.turn()
        made[0].close()
        play.asyncore.close_all(play.map)
        for each in made:
            play.state(each)
        for each in made:
            play.hear(each.peer)
        play.turn()
        channel(play, handle_read=lambda self: play.note("read", self.recv(9))).peer.send(b"afterwards")
        play.turn()
        return play.lines()


@pytest.mark.parametrize("driver", DRIVERS)
def test_after_close_all_the_map_can_be_used_again(driver: str) -> None:
    same(real_ones_closed, driver)
