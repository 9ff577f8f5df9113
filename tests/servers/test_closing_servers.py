"""Proves what closing a server, and ending its requests, does for those who hold on to something."""

import os
import threading

import pytest

from reactor import (
    BaseRequestHandler,
    Line,
    Reactor,
    ReactorTCPServer,
    StateRequestHandler,
    ThreadingTCPServer,
)
from tests.support.clock import ManualClock
from tests.support.servers import (
    FOREVER,
    PATIENCE,
    Channel,
    Thread,
    connected,
    hosts,
    made,
    nothing_left,
    running,
)

CLASSIC = hosts("TCP", "UnixStream", kinds=("", "Threading"))


class Kept(BaseRequestHandler):
    """Leaves a copy of its connection with the server."""

    def handle(self):
        self.server.kept.append(self.request.dup())


class Held(BaseRequestHandler):
    """Says so when it has started, and waits for the server's `released`."""

    def handle(self):
        self.server.channel.say("here")
        assert self.server.released.wait(PATIENCE)


@pytest.mark.parametrize("cls", hosts("TCP", "UnixStream", kinds=("", "Threading"), standard=True))
def test_the_end_of_a_request_reaches_the_peer_while_somebody_still_has_the_descriptor(cls):
    with nothing_left(), made(cls, Kept, kept=[]) as server, running(server), connected(server) as peer:
        assert peer.rest() == b""
        (copy,) = server.kept
        copy.close()


@pytest.mark.parametrize("cls", CLASSIC)
def test_a_registered_server_that_is_closed_is_left_alone_by_its_reactor(cls):
    calls = []

    def service_actions(self):
        calls.append(self)

    clock = ManualClock()
    with (
        nothing_left(),
        Reactor(clock=clock) as reactor,
        made(cls, BaseRequestHandler, service_actions=service_actions) as server,
    ):
        reactor.register(server, may_block=True)
        clock.advance(1)
        reactor.handle_events(0)
        assert calls == [server]
        server.server_close()
        clock.advance(10)
        reactor.handle_events(0)
        assert calls == [server]


@pytest.mark.parametrize("cls", hosts("UnixStream", "UnixDatagram", kinds=("",)))
def test_closing_a_unix_server_again_removes_nothing_even_if_it_is_the_same_file(cls):
    with made(cls, BaseRequestHandler) as server:
        path = server.server_address
        os.link(path, path + ".kept")
        server.server_close()
        assert not os.path.exists(path)
        os.rename(path + ".kept", path)
        server.server_close()
        assert os.path.exists(path)


@pytest.mark.parametrize("cls", hosts("TCP", kinds=("",)))
def test_shutdown_waits_for_the_end_of_serving_the_second_time_too(cls):
    with (
        nothing_left(),
        Channel() as channel,
        made(cls, Held, channel=channel, released=threading.Event()) as server,
    ):
        thread = Thread(server.serve_forever, FOREVER)
        server.shutdown()
        thread.finish()
        with running(server) as serves, connected(server):
            assert channel.hear() == "here"
            stopping = Thread(server.shutdown)
            stopping.join(0.05)
            assert stopping.is_alive()  # for the handler is still at it
            server.released.set()
            stopping.finish()
            serves.finish()


def test_a_handler_that_closes_its_server_is_waited_for_by_whoever_closes_it_next():
    class Closing(BaseRequestHandler):
        def handle(self):
            self.server.server_close()
            self.server.channel.say("closed")
            assert self.server.released.wait(PATIENCE)

    with (
        nothing_left(),
        Channel() as channel,
        made(ThreadingTCPServer, Closing, channel=channel, released=threading.Event()) as server,
        connected(server) as peer,
    ):
        server.handle_request()
        assert channel.hear() == "closed"
        closing = Thread(server.server_close)
        closing.join(0.05)
        assert closing.is_alive()
        server.released.set()
        closing.finish()
        assert peer.rest() == b""


def test_closing_a_reactor_server_from_another_thread_waits_until_all_is_done():
    class Slow(StateRequestHandler):
        def start(self):
            self.server.channel.say("here")
            self.expect(Line(), self.close)

        def finish(self):
            self.server.channel.say("finishing")
            assert self.server.released.wait(PATIENCE)

    with (
        nothing_left(),
        Channel() as channel,
        made(ReactorTCPServer, Slow, channel=channel, released=threading.Event()) as server,
        connected(server) as peer,
    ):
        serve = Thread(server.serve_forever, FOREVER)
        assert channel.hear() == "here"
        closing = Thread(server.server_close)
        assert channel.hear() == "finishing"
        closing.join(0.05)
        assert closing.is_alive()
        server.released.set()
        closing.finish()
        assert peer.rest() == b""
        serve.finish()
