"""Proves that real signals in the middle of real calls cost nobody anything."""

from __future__ import annotations

import contextlib
import signal
import threading

import pytest

from tests.injection.faults import Faults
from tests.injection.invariant import comes_to_rest, holds_at_the_end, watching
from tests.injection.scenes import stream_scene

#: How many signals each thread gets.
SIGNALS = 100


@contextlib.contextmanager
def handled(signum):
    """The signal comes to Python, and its handler does nothing: whatever it cuts short says `EINTR`."""
    caught = []
    previous = signal.signal(signum, lambda *args: caught.append(args))
    signal.siginterrupt(signum, True)
    try:
        yield caught
    finally:
        signal.signal(signum, previous)


def interrupt(threads, stop):
    """Signal these threads, which live on, again and again."""
    for _ in range(SIGNALS):
        for thread in threads:
            signal.pthread_kill(thread.ident, signal.SIGUSR1)
        if stop.wait(0.0005):
            return


@pytest.mark.parametrize("kind", ["state", "coroutine", "unix", "guest", "threading", "registered"])
def test_signals_that_interrupt_calls(kind, monkeypatch):
    layer = Faults(monkeypatch)
    with handled(signal.SIGUSR1) as caught, watching() as watch, stream_scene(kind) as scene:
        stop = threading.Event()
        threads = set(threading.enumerate()) - {threading.main_thread()}  # the loop's, and of those who stay
        signaller = threading.Thread(target=interrupt, args=(threads, stop))
        signaller.start()
        try:
            while signaller.is_alive():
                scene.round()
        finally:
            stop.set()
            signaller.join()
        assert caught
        assert not scene.lost
        comes_to_rest(layer, scene.thread)
        scene.go()
        holds_at_the_end(scene, watch, silent=True)
