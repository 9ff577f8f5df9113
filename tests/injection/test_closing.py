"""Proves that a server that is made or closed while calls fail leaves nothing behind."""

from __future__ import annotations

import contextlib
import gc
import os

import pytest

import reactor as package
from reactor import Limits
from tests.injection.faults import CONNECTION, LISTENER, WAKER, Faults
from tests.injection.invariant import until, watching
from tests.injection.scenes import KINDS, stream_scene
from tests.injection.table import Fault, errnos
from tests.support.servers import FOREVER, Thread, made, open_descriptors

CLOSING = [
    (kind, role, Fault("close", name, nth))
    for kind in ("state", "unix", "threading", "unix-threading")
    for role, nth in ((LISTENER, 1), (WAKER, 1), (WAKER, 2), (CONNECTION, 1), (CONNECTION, 2))
    for name in ("EINTR", "EIO")
    if role != CONNECTION or "threading" not in kind  # whose threads close theirs before
]


@pytest.mark.parametrize(("kind", "role", "fault"), CLOSING, ids=lambda value: str(value))
def test_closing_leaves_nothing_when_close_fails(kind, role, fault, monkeypatch):
    """One call of `server_close` is enough; it may say what failed."""
    layer = Faults(monkeypatch)
    before = open_descriptors()
    with watching(), stream_scene(kind) as scene:
        path = scene.server.server_address
        if "threading" in kind:  # or it would wait for them
            scene.go()
            until(lambda: not scene.unended(), "not ended")
        layer.role, layer.own_too = role, True
        layer.arm(fault)
        scene.server.shutdown()
        with failing_with(fault):
            scene.thread.finish()
        with failing_with(fault):
            scene.server.server_close()
        assert layer.fired
        layer.disarm()
        scene.thread.raised = None
        gc.collect()
        assert not scene.complaints()
        assert not isinstance(path, str) or not os.path.exists(path), "the path is left"
        ours = {str(peer.socket.fileno()) for peer in scene.peers()}
        left = {fd: what for fd, what in open_descriptors().items() if fd not in before and fd not in ours}
        assert not [what for what in left.values() if not what.startswith("pipe:")], left


@contextlib.contextmanager
def failing_with(fault):
    """What is done inside may say so, but nothing else."""
    try:
        yield
    except OSError as exc:
        if exc.errno != fault.errno:
            raise


def making(kind):
    """Make a server of this kind, serve for a moment, and close it."""
    cls = getattr(package, KINDS[kind][0])
    with made(cls, KINDS[kind][1], limits=Limits(), allow_reuse_address=True) as server:
        server.shutdown()  # the next `serve_forever` returns at once
        Thread(server.serve_forever, FOREVER).finish()


MAKING = [
    *[("state", Fault(call, name)) for call in ("setsockopt", "getsockname") for name in errnos(call)],
    *[("unix", Fault("getsockname", name)) for name in errnos("getsockname")],
    *[("state", Fault("register", name, nth)) for name in errnos("register") for nth in (1, 2)],
]


@pytest.mark.parametrize(("kind", "fault"), MAKING, ids=lambda value: str(value))
def test_a_server_that_can_not_be_made_says_why_and_leaves_nothing(kind, fault, monkeypatch):
    layer = Faults(monkeypatch)
    layer.own_too = True
    with watching():
        layer.arm(fault)
        with pytest.raises(OSError) as caught:
            making(kind)
        assert caught.value.errno == fault.errno
        layer.disarm()
        making(kind)
        del caught
        gc.collect()
