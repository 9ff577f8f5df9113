"""Proves that a call that fails again and again is told once a second, stops nobody else, and heals.

Whoever comes during the storm may be turned away; those who were there before are served all through it,
unless it is their own call that fails.
"""

from __future__ import annotations

import contextlib
import time

import pytest

from reactor import ReactorUDPServer
from tests.injection.faults import Faults
from tests.injection.invariant import PATIENCE, comes_to_rest, until, watching
from tests.injection.scenes import stream_scene
from tests.injection.table import Fault
from tests.injection.test_datagrams import datagram_scene
from tests.support.servers import FORKS, Peer

#: Calls that fail in a row, from somebody's coming until it is over.
STORM = 5

STREAMS = [
    ("state", Fault("accept", "EMFILE", times=STORM)),
    ("state", Fault("accept", "EPERM", times=STORM)),
    ("state", Fault("accept", "ECONNABORTED", times=STORM)),
    ("state", Fault("recv", "ENOMEM", times=STORM)),
    ("state", Fault("recv", "ECONNRESET", times=STORM)),
    ("state", Fault("send", "ENOBUFS", times=STORM)),
    ("state", Fault("setsockopt", "ENOPROTOOPT", times=STORM)),
    ("state", Fault("shutdown", "ENOTCONN", times=STORM)),
    ("state", Fault("close", "EIO", times=STORM)),
    ("state", Fault("register", "ENOSPC", times=STORM)),
    ("state", Fault("epoll_wait", "EINVAL", times=STORM)),
    ("coroutine", Fault("recv", "ENOMEM", times=STORM)),
    ("coroutine", Fault("register", "ENOMEM", times=STORM)),
    ("threading", Fault("accept", "EMFILE", times=STORM)),
    ("threading", Fault("accept", "ENOMEM", times=STORM)),
    ("threading", Fault("start", "EAGAIN", times=STORM)),
    ("threading", Fault("poll", "ENOMEM", times=STORM)),
    ("forking", Fault("fork", "EAGAIN", times=STORM)),
    ("forking", Fault("accept", "ENFILE", times=STORM)),
    ("registered", Fault("start", "EAGAIN", times=STORM)),
    ("registered", Fault("accept", "ENFILE", times=STORM)),
]


def few_lines(watch):
    """At most one a second, and the line that sums up those held back."""
    seconds = time.monotonic() - watch.began
    return len(watch.lines.records) <= 2 + seconds


@pytest.mark.parametrize(
    ("kind", "fault"),
    [pytest.param(*case, id=f"{case[0]}-{case[1]}", marks=[FORKS]) for case in STREAMS],
)
def test_a_storm_passes(kind, fault, monkeypatch):
    layer = Faults(monkeypatch)
    with watching() as watch, stream_scene(kind) as scene:
        layer.arm(fault)
        staying = scene.peers()
        while layer.fired < STORM:
            with Peer(scene.server.server_address) as peer, contextlib.suppress(ConnectionError):
                peer.socket.settimeout(PATIENCE)
                peer.send(b"line\n")
                assert peer.line() in (b"LINE\n", b""), "neither served nor turned away"
        if fault.call not in ("recv", "send"):
            assert not scene.lost
            assert all(scene.ask(peer) for peer in staying), "somebody who was there is lost"
        layer.disarm()
        scene.round()
        comes_to_rest(layer, scene.thread)
        scene.go()
        until(lambda: not scene.unended(), "not ended")
        assert not scene.complaints()
        assert scene.rows() == 0
        assert few_lines(watch), watch.lines.texts()


LASTING = [
    *[("state", "accept", name) for name in ("EMFILE", "ENOBUFS", "EPERM")],
    *[(kind, "accept", "ENFILE") for kind in ("unix", "threading", "registered")],
    ("state", "epoll_wait", "EINVAL"),
    ("threading", "poll", "ENOMEM"),
]


@pytest.mark.parametrize(("kind", "call", "name"), LASTING)
def test_what_lasts_makes_no_loop_spin(kind, call, name, monkeypatch):
    """While somebody waits to be taken; he is when it is over, even if the rest can't end at once."""
    layer = Faults(monkeypatch)
    with watching() as watch, stream_scene(kind) as scene:
        layer.arm(Fault(call, name, times=1000))
        with Peer(scene.server.server_address) as peer:
            peer.socket.settimeout(PATIENCE)
            peer.send(b"line\n")
            until(lambda: layer.fired >= 2, "it does not try again")
            comes_to_rest(layer, scene.thread)
            assert layer.fired < 100
            if call == "accept":
                layer.arm(Fault("register", "ENOMEM"))  # what ends the rest
            else:
                layer.disarm()
            assert peer.line() == b"LINE\n"
        layer.disarm()
        scene.round()
        assert not scene.lost
        comes_to_rest(layer, scene.thread)
        scene.go()
        until(lambda: not scene.unended(), "not ended")
        assert not scene.complaints()
        assert few_lines(watch), watch.lines.texts()


DATAGRAMS = [
    Fault("recvfrom", "ENOMEM", times=STORM),
    Fault("recvfrom", "ECONNREFUSED", times=STORM),
    Fault("sendto", "ENOBUFS", times=STORM),
    Fault("sendto", "EPERM", times=STORM),
    Fault("sendto", "ECONNREFUSED", times=STORM),
]


@pytest.mark.parametrize("refused", [False, True], ids=["at once", "later"])
@pytest.mark.parametrize("fault", DATAGRAMS, ids=str)
def test_a_storm_of_datagrams_passes(fault, refused, monkeypatch):
    """*refused*: what is to be sent had to wait for room before."""
    layer = Faults(monkeypatch)
    with watching() as watch, datagram_scene(ReactorUDPServer) as scene:
        scene.patient = False
        layer.refusing = "sendto" if refused else None
        layer.arm(fault)
        while layer.fired < STORM:
            scene.round()
        layer.disarm()
        scene.patient = True
        comes_to_rest(layer, scene.thread)
        scene.drop()
        lost = len(scene.lost)
        scene.round()
        assert len(scene.lost) == lost
        assert not scene.complaints()
        assert few_lines(watch), watch.lines.texts()
