"""Proves that our mix-ins work on the standard library's servers and its mix-ins on ours, to the end."""

from __future__ import annotations

import http.client
import http.server
import os
import socketserver
import threading
from contextlib import contextmanager

import pytest

import reactor
from reactor import Reactor, TCPServer, UDPServer
from tests.support.servers import (
    FORKS,
    PATIENCE,
    Peer,
    Thread,
    datagram_peer,
    looping,
    nothing_left,
    running,
)

pytestmark = FORKS


class Page(http.server.BaseHTTPRequestHandler):
    """Says which process and thread made it."""

    def do_GET(self):
        body = f"{os.getpid()} {threading.current_thread().name}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


class Upper(socketserver.StreamRequestHandler):
    """A line in capitals."""

    def handle(self):
        self.wfile.write(self.rfile.readline().upper())


class UpperDatagram(socketserver.DatagramRequestHandler):
    """The same."""

    def handle(self):
        self.wfile.write(self.rfile.read().upper())


MIXINS = {"threading": "ThreadingMixIn", "forking": "ForkingMixIn"}


def mixed(kind, theirs, base):
    """Our mix-in on their server, or theirs on ours."""
    module = reactor if theirs else socketserver
    return type("Mixed", (getattr(module, MIXINS[kind]), base), {"max_children": 4, "timeout": PATIENCE})


OURS_ON_THEIRS = [http.server.HTTPServer, socketserver.TCPServer, socketserver.UDPServer]
THEIRS_ON_OURS = [TCPServer, UDPServer]
EVERY = [
    pytest.param(mixed(kind, base in OURS_ON_THEIRS, base), id=f"{whose} {kind} {base.__name__}")
    for kind in MIXINS
    for whose, bases in {"our": OURS_ON_THEIRS, "their": THEIRS_ON_OURS}.items()
    for base in bases
]


def handler_for(cls):
    if issubclass(cls, http.server.HTTPServer):
        return Page
    return UpperDatagram if issubclass(cls, socketserver.UDPServer | UDPServer) else Upper


def is_served(server):
    """Whether it answers, and not from the thread or process that serves."""
    if isinstance(server, http.server.HTTPServer):
        client = http.client.HTTPConnection(*server.server_address, timeout=PATIENCE)
        try:
            client.request("GET", "/")
            process, _, thread = client.getresponse().read().decode().partition(" ")
        finally:
            client.close()
        if hasattr(server, "collect_children"):
            return int(process) != os.getpid()
        return int(process) == os.getpid() and "process_request_thread" in thread
    if handler_for(type(server)) is Upper:
        with Peer(server.server_address) as peer:
            return peer.ask(b"a word\n") == b"A WORD\n" and peer.rest() == b""
    with datagram_peer(server) as peer:
        peer.send(b"a word")
        return peer.recv(100) == b"A WORD"


@contextmanager
def made(cls):
    with nothing_left(), cls(("127.0.0.1", 0), handler_for(cls)) as server:
        yield server
        server.server_close()
        server.server_close()
        assert server.fileno() == -1


@pytest.mark.parametrize("cls", EVERY)
def test_it_serves_shuts_down_serves_again_and_closes(cls):
    with made(cls) as server:
        for _ in range(2):
            with running(server, 0.01):
                for _ in range(3):
                    assert is_served(server)


@pytest.mark.parametrize("cls", EVERY)
def test_it_handles_one_request_at_a_time(cls):
    with made(cls) as server:
        for _ in range(3):
            thread = Thread(is_served, server)
            server.handle_request()
            assert thread.finish()


@pytest.mark.parametrize("cls", EVERY)
def test_it_is_hosted_in_a_reactor(cls):
    with made(cls) as server, Reactor() as loop:
        loop.register(server, may_block=True)
        with looping(loop):
            for _ in range(3):
                assert is_served(server)


@pytest.mark.parametrize("cls", EVERY)
def test_an_error_of_a_handler_is_the_servers_to_handle(cls):
    errors, error = os.pipe()

    def handle_error(request, client_address):
        os.write(error, b"!")

    def finish_request(request, client_address):
        raise LookupError("as it was told")

    try:
        with made(cls) as server:
            server.handle_error, server.finish_request = handle_error, finish_request
            thread = Thread(server.handle_request)
            if server.socket_type == reactor.TCPServer.socket_type:
                with Peer(server.server_address) as peer:
                    assert peer.rest() == b""
            else:
                with datagram_peer(server) as peer:
                    peer.send(b"a word")
            thread.finish()
            assert os.read(errors, 1) == b"!"
    finally:
        os.close(errors)
        os.close(error)


@contextmanager
def closing_in_the_end(server):
    try:
        yield
    finally:
        server.server_close()


@pytest.mark.parametrize("base", [*OURS_ON_THEIRS[:2], TCPServer])
@pytest.mark.parametrize("block_on_close", [True, False])
def test_closing_waits_for_threads_if_it_should(base, block_on_close):
    cls = mixed("threading", base in OURS_ON_THEIRS, base)
    entered, go_on = threading.Event(), threading.Event()

    class Stays(Upper):
        def handle(self):
            entered.set()
            assert go_on.wait(PATIENCE)

    server = type("Server", (cls,), {"block_on_close": block_on_close})(("127.0.0.1", 0), Stays)
    with closing_in_the_end(server), Peer(server.server_address):
        before = set(threading.enumerate())
        server.handle_request()
        assert entered.wait(PATIENCE)
        (handling,) = set(threading.enumerate()) - before
        closing = Thread(server.server_close)
        closing.join(0.05)
        assert closing.is_alive() is block_on_close
        go_on.set()
        closing.finish()
        handling.join(PATIENCE)
