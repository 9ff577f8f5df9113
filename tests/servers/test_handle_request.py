"""Proves what `handle_request` waits for, how long, and what it makes of a request that can't be taken."""

import errno
import socket

import pytest

from reactor import BaseRequestHandler, TCPServer
from tests.support.servers import FOREVER, Thread, connected, hosts, made, nothing_left

MOMENT = 0.01

CLASSIC = ("", "Threading", "Forking")


class Silent(BaseRequestHandler):
    """Ends a connection at once."""


@pytest.mark.parametrize("cls", hosts("TCP", "UDP", kinds=CLASSIC, standard=True))
@pytest.mark.parametrize(
    ("of_socket", "of_server"),
    [(None, MOMENT), (MOMENT, None), (MOMENT, FOREVER), (FOREVER, MOMENT)],
)
def test_the_shorter_of_both_timeouts_ends_the_wait(cls, of_socket, of_server):
    calls = []

    def handle_timeout(self):
        calls.append(self)

    with made(cls, Silent, timeout=of_server, handle_timeout=handle_timeout) as server:
        server.socket.settimeout(of_socket)
        server.handle_request()
        assert calls == [server]


@pytest.mark.parametrize("base", hosts("TCP", kinds=("",), standard=True))
def test_a_request_that_is_gone_when_it_is_taken_is_no_error_and_nothing_is_called_for_it(base):
    calls = []

    def told(name):
        def hook(self, *args):
            calls.append(name)

        return hook

    class Server(base):
        verify_request = told("verify_request")
        process_request = told("process_request")
        handle_error = told("handle_error")
        shutdown_request = told("shutdown_request")

        def get_request(self):
            request, _ = super().get_request()
            request.close()
            raise OSError(errno.ECONNABORTED, "gone")

    with nothing_left(), made(Server, Silent) as server, connected(server) as peer:
        server.handle_request()
        assert peer.rest() == b""
        assert calls == []


def test_handle_request_again_and_again_waits_with_one_selector_and_leaves_nothing():
    with nothing_left(), made(TCPServer, Silent) as server:
        for _ in range(3):
            thread = Thread(server.handle_request)
            with connected(server) as peer:
                assert peer.rest() == b""
            thread.finish()


@pytest.mark.parametrize("cls", hosts("TCP", kinds=("",)))
def test_another_socket_than_before_is_waited_for_when_there_is_one(cls):
    with nothing_left(), made(cls, Silent, timeout=MOMENT) as server:
        server.handle_request()
        server.socket.close()
        server.socket = socket.create_server(("127.0.0.1", 0))
        server.server_address = server.socket.getsockname()
        server.timeout = FOREVER
        thread = Thread(server.handle_request)
        with connected(server) as peer:
            assert peer.rest() == b""
        thread.finish()
