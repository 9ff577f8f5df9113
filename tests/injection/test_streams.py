"""Proves that a stream server at work survives each error of each call; it costs one peer at most."""

from __future__ import annotations

import pytest

from tests.injection.faults import Faults
from tests.injection.invariant import holds_at_the_end, holds_at_work, watching
from tests.injection.scenes import KINDS, ROUNDS, handlers_own, stream_scene
from tests.injection.table import FIRST, NTH, SECOND, Fault, errnos, faults
from tests.support.servers import FORKS

#: Kind of server: what fails there.
FAULTS = {
    "state": [
        *faults("accept", "recv", "send", "setsockopt", "shutdown", "close"),
        *faults("register", "modify", "unregister", "epoll_wait"),
    ],
    "coroutine": [
        *faults("recv", "send", "setsockopt", "register", "modify", turn=1),
    ],
    "unix": [
        *faults("accept", "recv", "send", "shutdown", "close", turn=2),
        *faults("register", "modify", "unregister", "epoll_wait", turn=2),
    ],
    "guest": faults("register", "unregister", "epoll_wait", turn=1),
    "asking": faults("getpeername", "getsockname"),
    "once": faults("register", "modify", "send", turn=1),
    "offloading": [Fault("start", name) for name in errnos("start")],
    "threading": [
        *faults("accept", "recv", "send", "setsockopt", "shutdown", "close", turn=1),
        *(fault for turn in range(3) for fault in faults("poll", "start", turn=turn)),
    ],
    "unix-threading": faults("close", turn=2),
    "forking": [
        *(Fault("fork", name, nth) for name in errnos("fork") for nth in (FIRST, SECOND)),
        *(Fault("accept", name, SECOND) for name in ("ECONNABORTED", "EMFILE")),
        *(Fault(call, "EBADF", nth) for call in ("setsockopt", "shutdown") for nth in (FIRST, SECOND)),
        *(Fault("close", "EIO", nth) for nth in (FIRST, SECOND)),
        Fault("fork", "EAGAIN", NTH),
        Fault("poll", "ENOMEM"),
    ],
    "registered": faults("start", "close", "register", "unregister", "epoll_wait", turn=2),
}

CASES = [
    pytest.param(kind, fault, id=f"{kind}-{fault}", marks=[FORKS] if kind == "forking" else [])
    for kind in KINDS
    for fault in FAULTS[kind]
]


@pytest.mark.parametrize(("kind", "fault"), CASES)
def test_a_server_survives(kind, fault, monkeypatch):
    layer = Faults(monkeypatch)
    if fault.call == "modify":  # nobody asks for that before the kernel has refused something
        layer.refusing = "send"
    with watching() as watch, stream_scene(kind) as scene:
        layer.arm(fault)
        for _ in range(ROUNDS):
            scene.round()
            if layer.fired:
                break
        own = handlers_own(kind, fault)
        holds_at_work(scene, layer, 0 if fault.harmless and not own else 1)
        scene.go()
        holds_at_the_end(scene, watch, silent=fault.silent and not own)
