"""pyinotify's AsyncNotifier: a file_dispatcher over a descriptor that is neither socket nor pipe."""

import asyncore
import time

import pyinotify
import pytest

from tests.conformance.programs.driving import PATIENCE


class Seen(pyinotify.ProcessEvent):
    def my_init(self, names):
        self.names = names

    def process_IN_CLOSE_WRITE(self, event):
        self.names.append(("written", event.name))

    def process_IN_DELETE(self, event):
        self.names.append(("deleted", event.name))


@pytest.mark.parametrize("use_poll", [False, True])
@pytest.mark.parametrize("own_map", [False, True])
def test_changes_are_told(tmp_path, own_map, use_poll):
    channels = {} if own_map else None
    seen = []
    watches = pyinotify.WatchManager()
    pyinotify.AsyncNotifier(watches, Seen(names=seen), channel_map=channels)
    watches.add_watch(str(tmp_path), pyinotify.IN_CLOSE_WRITE | pyinotify.IN_DELETE)

    def turn_until(count):
        end = time.monotonic() + PATIENCE
        while len(seen) < count:
            assert time.monotonic() < end, seen
            asyncore.loop(timeout=0.05, use_poll=use_poll, map=channels, count=1)

    for name in ("one", "two"):
        (tmp_path / name).write_text(name)
    turn_until(2)
    (tmp_path / "one").unlink()
    turn_until(3)
    assert seen == [("written", "one"), ("written", "two"), ("deleted", "one")]

    asyncore.close_all(channels)
    watches.close()
    assert not (asyncore.socket_map if channels is None else channels)
