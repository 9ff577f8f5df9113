"""Proves that a loop can be reached from other threads whatever its waker's two sockets say."""

from __future__ import annotations

import contextlib
import threading

import pytest

from reactor import ReactorTCPServer, StreamRequestHandler, ThreadingTCPServer
from tests.injection.faults import WAKER, Faults
from tests.injection.invariant import PATIENCE, comes_to_rest, until, watching
from tests.injection.scenes import AsyncUpper
from tests.injection.table import Fault
from tests.support.servers import FOREVER, Thread, connected, made

#: What a socket pair's ends can say that is no sign of their being closed. That there is no room
#: to send is left out: it means that the loop is awake already.
PASSING = {"recv": ["EAGAIN", "ENOMEM", "EFAULT", "EINVAL"], "send": ["ENOBUFS", "ENOMEM"]}
CASES = [Fault(call, name, nth) for call, names in PASSING.items() for name in names for nth in (1, 2)]


class Quiet(AsyncUpper):
    """Writes down nothing."""

    setup = AsyncUpper.__mro__[2].setup
    finish = AsyncUpper.__mro__[2].finish


@contextlib.contextmanager
def serving(cls, handler, layer):
    """A server in a thread; a deaf one is woken by somebody who comes."""
    with made(cls, handler) as server:
        thread = Thread(server.serve_forever, FOREVER)
        try:
            yield server, thread
        finally:
            layer.disarm()
            stopper = Thread(server.shutdown)
            stopper.join(0.05)
            with connected(server):
                stopper.finish()
                thread.finish()


@pytest.mark.parametrize("fault", CASES, ids=str)
def test_a_reactor_hears_calls_from_elsewhere(fault, monkeypatch):
    layer = Faults(monkeypatch)
    layer.role, layer.own_too = WAKER, True
    with watching(), serving(ReactorTCPServer, Quiet, layer) as (server, thread):
        until(lambda: layer.selectors, "it does not serve")
        comes_to_rest(layer, thread)  # and nobody is there, whose deadlines would wake it
        layer.arm(fault)
        for _ in range(4):
            heard = threading.Event()
            server.reactor.call_soon_threadsafe(heard.set)
            assert heard.wait(PATIENCE), "the loop did not wake"
        assert layer.fired
        comes_to_rest(layer, thread)


@pytest.mark.parametrize("fault", [fault for fault in CASES if fault.nth == 1], ids=str)
@pytest.mark.parametrize(
    ("cls", "handler"), [(ReactorTCPServer, Quiet), (ThreadingTCPServer, StreamRequestHandler)]
)
def test_shutdown_is_heard(cls, handler, fault, monkeypatch):
    layer = Faults(monkeypatch)
    layer.role, layer.own_too = WAKER, True
    with watching(), serving(cls, handler, layer) as (server, thread):
        until(lambda: layer.selectors, "it does not serve")
        comes_to_rest(layer, thread)
        layer.arm(fault)
        stopper = Thread(server.shutdown)
        stopper.join(PATIENCE)
        heard = not stopper.is_alive()
        with connected(server):
            stopper.finish()
        assert heard, "shutdown() did not take effect"
        thread.finish()


def test_a_classic_server_survives_a_waker_that_can_not_be_read(monkeypatch):
    """It is woken when a thread makes room, too."""
    layer = Faults(monkeypatch)
    layer.role = WAKER
    with watching(), serving(ThreadingTCPServer, StreamRequestHandler, layer) as (server, thread):
        until(lambda: layer.selectors, "it does not serve")
        layer.arm(Fault("recv", "ENOMEM"))
        server._lifecycle.wake()
        until(lambda: layer.fired, "it was not woken")
        comes_to_rest(layer, thread)
        assert thread.is_alive()
