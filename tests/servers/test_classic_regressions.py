"""Proves that what once went wrong with the classic servers stays right: each test failed before its cause
was mended."""

from __future__ import annotations

import gc
import socket
import socketserver
import subprocess
import sys
import threading
import warnings
from unittest.mock import patch

import pytest

import reactor
import reactor.socketserver as face
from reactor import Reactor, StreamRequestHandler, TCPServer, ThreadingTCPServer
from tests.support.servers import (
    FOREVER,
    PATIENCE,
    ROOT,
    Peer,
    Thread,
    connected,
    ended,
    made,
    nothing_left,
    program,
    running,
)


class Upper(StreamRequestHandler):
    """A line in capitals."""

    def handle(self):
        self.wfile.write(self.rfile.readline().upper())


# Serving


def test_a_listener_that_is_closed_while_it_serves_neither_raises_nor_spins():
    turns = threading.Semaphore(0)

    def service_actions(self):
        turns.release()

    with made(TCPServer, Upper, service_actions=service_actions) as server, running(server, 0.01) as thread:
        assert turns.acquire(timeout=PATIENCE)
        server.socket.close()
        for _ in range(30):  # long enough for the longest pause to have been taken
            assert turns.acquire(timeout=PATIENCE)
        assert thread.is_alive()


def test_several_threads_may_handle_requests_of_one_server():
    with made(ThreadingTCPServer, Upper) as server:
        threads = [Thread(server.handle_request) for _ in range(3)]
        for _ in threads:
            with connected(server) as peer:
                assert peer.ask(b"a word\n") == b"A WORD\n"
        for thread in threads:
            thread.finish()


def test_the_event_that_a_program_took_before_serving_is_the_one_that_is_set_after_it():
    with made(TCPServer, Upper) as server:
        event = server._BaseServer__is_shut_down
        waiter = Thread(event.wait, PATIENCE)
        with running(server, FOREVER), connected(server) as peer:
            assert peer.ask(b"a word\n") == b"A WORD\n"
        assert waiter.finish() is True


def test_an_event_that_a_program_puts_in_its_place_is_cleared_and_set():
    event = threading.Event()
    event.set()
    with made(TCPServer, Upper) as server:
        server._BaseServer__is_shut_down = event
        with running(server, FOREVER), connected(server) as peer:
            assert peer.ask(b"a word\n") == b"A WORD\n"
            assert not event.is_set()
        assert event.is_set()


def test_shutdown_waits_for_a_serve_forever_of_the_programs_own():
    """Programs have copied the standard one, flag and event included, to change a line of it."""
    order, entered, go_on = [], threading.Event(), threading.Event()

    class Server(TCPServer):
        def serve_forever(self, poll_interval=0.5):
            self._BaseServer__is_shut_down.clear()
            entered.set()
            try:
                while not self._BaseServer__shutdown_request:
                    threading.Event().wait(0.01)
                assert go_on.wait(PATIENCE)
                order.append("its last work")
            finally:
                self._BaseServer__shutdown_request = False
                self._BaseServer__is_shut_down.set()

    def stop():
        server.shutdown()
        order.append("shutdown() returned")

    with made(Server, Upper) as server:
        serving = Thread(server.serve_forever)
        assert entered.wait(PATIENCE)
        stopping = Thread(stop)
        stopping.join(0.1)
        go_on.set()
        stopping.finish()
        serving.finish()
    assert order == ["its last work", "shutdown() returned"]


def test_the_flag_of_the_standard_module_unregisters_a_server_from_a_reactor():
    with Reactor() as loop, made(ThreadingTCPServer, Upper) as server:
        loop.register(server)
        server._BaseServer__shutdown_request = True
        deadline = loop.clock() + 2
        while loop.registered(server) and loop.clock() < deadline:
            loop.handle_events(0.1)
        assert not loop.registered(server)


# Full


def test_a_thread_that_is_still_ending_its_request_takes_up_room():
    """Telling the peer may take long, with TLS; there would be any number of threads that do."""
    ending, go_on = threading.Semaphore(0), threading.Event()

    def shutdown_request(self, request):
        ending.release()
        assert go_on.wait(PATIENCE)
        super(type(self), self).shutdown_request(request)

    attributes = {"max_threads": 1, "shutdown_request": shutdown_request}
    with (
        made(ThreadingTCPServer, Upper, **attributes) as server,
        connected(server) as one,
        connected(server) as two,
    ):
        one.send(b"a word\n")
        two.send(b"a word\n")
        server.timeout = PATIENCE
        server.handle_request()
        assert ending.acquire(timeout=PATIENCE)
        server.timeout = 0.1
        server.handle_request()
        try:
            assert not ending.acquire(timeout=0.1)
        finally:
            go_on.set()


def test_max_threads_holds_on_a_server_of_the_standard_library_too_or_is_refused():
    class Server(reactor.ThreadingMixIn, socketserver.TCPServer):
        max_threads = 1

    with Server(("127.0.0.1", 0), Upper) as server, Peer(server.server_address) as peer:
        peer.send(b"a word\n")
        server.handle_request()
        assert peer.line() == b"A WORD\n"


@pytest.mark.parametrize("most", [0, -1, 1.5, "2", True])
def test_a_number_of_threads_that_is_none_is_refused_when_the_server_is_made(most):
    server = made(ThreadingTCPServer, Upper, max_threads=most)
    with nothing_left(), pytest.raises((TypeError, ValueError), match="max_threads"), server:
        pass


def test_requests_that_are_the_same_object_are_counted_each():
    entered, go_on = threading.Semaphore(0), threading.Event()

    class Stays(reactor.BaseRequestHandler):
        def handle(self):
            entered.release()
            assert go_on.wait(PATIENCE)

    def get_request(self):
        return b"", self.socket.recvfrom(100)[1]

    attributes = {"max_threads": 2, "get_request": get_request, "timeout": PATIENCE}
    with made(reactor.ThreadingUDPServer, Stays, **attributes) as server:
        with socket.socket(type=socket.SOCK_DGRAM) as peer:
            for _ in range(3):
                peer.sendto(b"", server.server_address)
        try:
            for _ in range(2):
                server.handle_request()
                assert entered.acquire(timeout=PATIENCE)
            server.timeout = 0.1
            server.handle_request()
            assert not entered.acquire(timeout=0.1)
        finally:
            go_on.set()
    assert server._admissions.connections == 0


def test_the_standard_librarys_forking_waits_for_children_on_our_server_too():
    class Server(socketserver.ForkingMixIn, TCPServer):
        pass

    with Reactor() as loop, made(Server, Upper) as server, pytest.raises(ValueError, match="may_block"):
        loop.register(server)


# Addresses


@pytest.mark.parametrize("address", [None, (), "by another name"])
def test_a_server_that_does_not_bind_takes_any_address(address):
    """Programs give it the socket that they have, from a supervisor, say."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        TCPServer(address, Upper, bind_and_activate=False) as server,
    ):
        server.socket.close()
        server.socket = listener
        server.server_address = listener.getsockname()
        with connected(server) as peer:
            peer.send(b"a word\n")
            server.handle_request()
            assert peer.line() == b"A WORD\n"


def test_a_server_with_a_server_bind_of_its_own_takes_any_address():
    class Server(TCPServer):
        def server_bind(self):
            self.socket.bind(("127.0.0.1", int(self.server_address.rpartition(":")[2])))
            self.server_address = self.socket.getsockname()

    with Server("localhost:0", Upper) as server:
        assert server.server_address[0] == "127.0.0.1"


def test_a_host_may_be_a_bytearray():
    with TCPServer((bytearray(b"127.0.0.1"), 0), Upper) as server:
        assert server.server_address[0] == "127.0.0.1"


ipv6 = pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")


@ipv6
def test_an_ipv6_address_may_have_all_its_four_parts():
    with TCPServer(("::1", 0, 0, 0), Upper) as server:
        assert server.server_address[0] == "::1"


@ipv6
def test_ipv6_alone_on_every_address_is_not_ipv4():
    with made_at(("", 0), dual_stack=False) as server:
        assert server.address_family == socket.AF_INET6
        assert server.socket.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)


def made_at(address, **attributes):
    return type("Server", (TCPServer,), attributes)(address, Upper)


# The face


def test_a_name_that_is_set_to_none_and_back_is_back():
    source = (
        "import reactor.socketserver as face\n"
        "from unittest.mock import Mock, patch\n"
        "with patch.object(face, 'threading', None): pass\n"
        "with face.ThreadingTCPServer(('127.0.0.1', 0), Mock()) as server:\n"
        "    server.process_request(Mock(), None)\n"
    )
    with program(source) as process:
        assert ended(process) == (0, "", "")


def test_the_faces_clock_may_be_another_one_while_the_listener_rests(monkeypatch):
    """`time.time` for one: a rest until then would be one for ever."""
    failures = [OSError(24, "too many")]

    def get_request(self):
        if failures:
            raise failures.pop()
        return super(type(self), self).get_request()

    with (
        patch.object(face, "time", lambda: 1e12),
        made(TCPServer, Upper, get_request=get_request) as server,
        connected(server) as peer,
    ):
        peer.send(b"a word\n")
        server.handle_request()
        Thread(server.handle_request).finish()
        assert peer.line() == b"A WORD\n"


def test_the_face_may_be_loaded_under_the_standard_name_before_anything_else():
    source = (
        "import importlib.util, sys\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        f"spec = importlib.util.spec_from_file_location('socketserver', {face.__file__!r})\n"
        "sys.modules['socketserver'] = module = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(module)\n"
        "import http.server, reactor\n"
        "assert issubclass(http.server.HTTPServer, reactor.TCPServer)\n"
    )
    subprocess.run([sys.executable, "-c", source], check=True, timeout=PATIENCE)


# Leaving


def test_a_server_that_was_never_closed_but_for_its_socket_leaves_nothing():
    with nothing_left(), warnings.catch_warnings():
        warnings.simplefilter("error")
        server = TCPServer(("127.0.0.1", 0), Upper)
        with running(server, FOREVER), connected(server) as peer:
            assert peer.ask(b"a word\n") == b"A WORD\n"
        server.socket.close()
        del server
        gc.collect()


@pytest.mark.parametrize(
    "name", ["_thread", "_stopped", "_signals", "_waker", "_shutdown_requested", "limits"]
)
def test_a_program_may_call_its_attributes_what_it_likes(name):
    class Server(TCPServer):
        def __init__(self, *args):
            super().__init__(*args)
            setattr(self, name, "the program's own")

    with Server(("127.0.0.1", 0), Upper) as server:
        with running(server, FOREVER), connected(server) as peer:
            assert peer.ask(b"a word\n") == b"A WORD\n"
        assert getattr(server, name) == "the program's own"
