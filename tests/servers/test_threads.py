"""Proves which threads `ThreadingMixIn` makes, which of them are waited for, and what is left of one
that can't start."""

import threading

import pytest

from reactor import BaseRequestHandler, ThreadingTCPServer
from reactor import socketserver as face
from tests.support.servers import (
    PATIENCE,
    Channel,
    Thread,
    connected,
    hosts,
    made,
    nothing_left,
    running,
    serving,
    telling_errors,
)

STREAMS = hosts("TCP", kinds=("Threading",), standard=True)
OURS = hosts("TCP", "UnixStream", kinds=("Threading",))


class Held(BaseRequestHandler):
    """Says so when it has started, and waits for the server's `released`."""

    def handle(self):
        self.server.channel.say(f"daemon: {threading.current_thread().daemon}")
        assert self.server.released.wait(PATIENCE)


@pytest.fixture
def channel():
    with Channel() as channel:
        yield channel


def held(cls, channel, **attributes):
    return made(cls, Held, channel=channel, released=threading.Event(), **attributes)


def wait_for_threads_but(known):
    for thread in set(threading.enumerate()) - known:
        thread.join(PATIENCE)


@pytest.mark.parametrize("cls", STREAMS)
@pytest.mark.parametrize(
    ("attributes", "daemon", "waits"),
    [
        ({}, False, True),
        ({"daemon_threads": True}, True, False),
        ({"block_on_close": False}, False, False),
    ],
)
def test_server_close_waits_for_threads_unless_told_otherwise(cls, channel, attributes, daemon, waits):
    known = set(threading.enumerate())
    with nothing_left(), held(cls, channel, **attributes) as server:
        try:
            with connected(server) as peer:
                server.handle_request()
                assert channel.hear() == f"daemon: {daemon}"
                closing = Thread(server.server_close)
                if waits:
                    (handler,) = set(threading.enumerate()) - known - {closing}
                    assert closing.is_alive()
                    assert handler.is_alive()
                else:
                    closing.finish()
                server.released.set()
                assert peer.rest() == b""
                closing.finish()
        finally:
            server.released.set()
            wait_for_threads_but(known)


@pytest.mark.parametrize("cls", OURS)
@pytest.mark.parametrize("attributes", [{}, {"max_threads": 1}, {"daemon_threads": True}])
def test_a_thread_that_cannot_start_costs_one_connection(cls, channel, attributes, monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    known = set(threading.enumerate())
    attributes |= {"handle_error": telling_errors(channel)}
    with nothing_left(), held(cls, channel, **attributes) as server:
        server.released.set()
        with monkeypatch.context() as patch, connected(server) as peer:
            patch.setattr(threading.Thread, "start", refuse)
            server.handle_request()
            assert channel.hear() == "RuntimeError: can't start new thread"
            patch.undo()
            assert peer.rest() == b""
        with connected(server) as peer:
            server.handle_request()
            assert channel.hear().startswith("daemon")
            assert peer.rest() == b""
        wait_for_threads_but(known)


def test_threads_that_have_ended_are_not_kept(channel):
    with nothing_left(), held(ThreadingTCPServer, channel) as server:
        server.released.set()
        for _ in range(20):
            known = set(threading.enumerate())
            with connected(server) as peer:
                server.handle_request()
                assert peer.rest() == b""
            wait_for_threads_but(known)
        assert len(server._threads) <= 1


def test_an_error_in_a_thread_reaches_handle_error_and_the_connection_ends(channel):
    class Failing(BaseRequestHandler):
        def handle(self):
            raise LookupError("not found")

    with (
        nothing_left(),
        serving(face.ThreadingTCPServer, Failing, handle_error=telling_errors(channel)) as server,
        connected(server) as peer,
    ):
        assert peer.rest() == b""
        assert channel.hear() == "LookupError: not found"


def test_a_handler_may_close_its_server_which_never_waits_for_the_calling_thread(channel):
    class Closing(BaseRequestHandler):
        def handle(self):
            self.server.server_close()
            channel.say("closed")

    with nothing_left(), made(ThreadingTCPServer, Closing) as server:
        with running(server) as serve, connected(server) as peer:
            assert channel.hear() == "closed"
            assert peer.rest() == b""
            serve.finish()
        server.server_close()
