"""Proves that a server refuses what it can't do when it is told to, and is as it was before."""

import signal

import pytest

from reactor import Limits, StateRequestHandler, TCPServer
from tests.support.servers import hosts, made, nothing_left


class Silent(StateRequestHandler):
    def start(self):
        """Expects nothing."""


@pytest.mark.parametrize("cls", hosts("TCP", kinds=("", "Threading", "Forking", "Reactor")))
@pytest.mark.parametrize("limits", [5, "none", Limits, {"idle_timeout": 5}])
def test_limits_that_are_none_are_refused_before_anything_is_opened(cls, limits):
    server = type("Server", (cls,), {"limits": limits})
    with nothing_left(), pytest.raises(TypeError, match=r"Server\.limits must be a Limits or None, not"):
        server(("127.0.0.1", 0), Silent)


@pytest.mark.parametrize("cls", hosts("TCP", kinds=("", "Threading", "Forking", "Reactor")))
def test_drain_on_takes_at_least_one_signal_and_changes_nothing_without(cls):
    before = signal.getsignal(signal.SIGTERM)
    with nothing_left(), made(cls, Silent) as server:
        with pytest.raises(TypeError, match="at least one signal"):
            server.drain_on()
        assert signal.getsignal(signal.SIGTERM) is before


def test_closing_a_server_gives_the_signals_back():
    before = signal.getsignal(signal.SIGTERM)
    with nothing_left(), made(TCPServer, Silent) as server:
        server.drain_on(signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before
