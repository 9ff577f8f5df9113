"""Proves that a datagram server at work survives each error of each call; it costs one answer at most."""

from __future__ import annotations

import contextlib
import select

import pytest

import reactor as package
from reactor import DatagramRequestHandler, Limits
from tests.injection.faults import Faults
from tests.injection.invariant import PATIENCE, holds_at_the_end, holds_at_work, until, watching
from tests.injection.ledger import Ledger
from tests.injection.scenes import ROUNDS, Told, told
from tests.injection.table import faults
from tests.support.servers import FOREVER, Thread, datagram_peer, made


class Upper(Told, DatagramRequestHandler):
    def handle(self):
        self.wfile.write(self.packet.upper())


class DatagramScene:
    """A datagram server in a thread, and two peers of it. `lost`: datagrams that got no answer."""

    def __init__(self, server, thread, peers):
        self.server = server
        self.thread = thread
        self.lost = []
        self.patient = True  # every answer comes in the end
        self._peers = peers
        self._sent = 0
        self.round()

    def round(self):
        for peer in self._peers:
            self._sent += 1
            word = f"word {self._sent}"
            peer.send(word.encode())
            until(lambda: self._ledger.count("end") >= self._sent, "a datagram was not taken")
            # What was sent over loopback by then is here by now; what the kernel refused comes later.
            if select.select([peer], [], [], PATIENCE if self.patient else 0)[0]:
                answer = peer.recv(100)
                assert answer == word.upper().encode() or not self.patient
            else:
                self.lost.append(word)

    def drop(self):
        """Forget answers that came late."""
        for peer in self._peers:
            while select.select([peer], [], [], 0)[0]:
                peer.recv(100)

    @property
    def _ledger(self):
        return self.server.ledger

    def unended(self):
        return self._ledger.numbers("taken") - self._ledger.numbers("end")

    def complaints(self):
        return self._ledger.complaints("end", self._ledger.numbers("taken"))

    def rows(self):
        return len(self.server.reactor.requests)


@contextlib.contextmanager
def datagram_scene(cls):
    with contextlib.ExitStack() as stack:
        ledger = Ledger()
        stack.callback(ledger.close)
        server = stack.enter_context(made(cls, Upper, limits=Limits(), **told(cls, ledger)))
        thread = Thread(server.serve_forever, FOREVER)
        stack.callback(thread.finish)
        stack.callback(server.shutdown)
        yield DatagramScene(server, thread, [stack.enter_context(datagram_peer(server)) for _ in range(2)])


CALLS = ("recvfrom", "sendto", "epoll_wait")
CASES = [
    *[("ReactorUDPServer", fault) for fault in faults(*CALLS, "modify")],
    *[("ReactorUnixDatagramServer", fault) for fault in faults(*CALLS, turn=1)],
]


@pytest.mark.parametrize(("name", "fault"), CASES, ids=lambda value: str(value))
def test_a_server_survives(name, fault, monkeypatch):
    layer = Faults(monkeypatch)
    with watching() as watch, datagram_scene(getattr(package, name)) as scene:
        scene.patient = fault.harmless or fault.call == "modify"
        if fault.call == "modify":
            layer.refusing = "sendto"
        layer.arm(fault)
        for _ in range(ROUNDS):
            scene.round()
            if layer.fired:
                break
        scene.patient = True
        holds_at_work(scene, layer, 0 if fault.harmless else 1)
        holds_at_the_end(scene, watch, silent=fault.silent)
