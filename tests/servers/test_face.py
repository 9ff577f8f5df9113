"""Proves that `reactor.socketserver` is the standard module to whoever looks at it or patches it."""

from __future__ import annotations

import os
import selectors
import socket
import socketserver as standard
import sys
import threading
from types import SimpleNamespace
from unittest.mock import Mock, patch

import pytest

import reactor
import reactor.socketserver as face
from reactor import Line, Reactor
from tests.support.servers import PATIENCE, connected, datagram_peer, ended, made, program

#: The names that the standard module of Python 3.13 has on a Unix system.
NAMES = {
    "BaseRequestHandler",
    "BaseServer",
    "DatagramRequestHandler",
    "ForkingMixIn",
    "ForkingTCPServer",
    "ForkingUDPServer",
    "ForkingUnixDatagramServer",
    "ForkingUnixStreamServer",
    "StreamRequestHandler",
    "TCPServer",
    "ThreadingMixIn",
    "ThreadingTCPServer",
    "ThreadingUDPServer",
    "ThreadingUnixDatagramServer",
    "ThreadingUnixStreamServer",
    "UDPServer",
    "UnixDatagramServer",
    "UnixStreamServer",
}
unix = pytest.mark.skipif(not hasattr(os, "fork"), reason="a Unix system's names")


class Upper(face.StreamRequestHandler):
    """A line in capitals."""

    def handle(self):
        self.wfile.write(self.rfile.readline().upper())


class State(reactor.StateRequestHandler):
    """The same."""

    def start(self):
        self.expect(Line(), self.line)

    def line(self, line):
        self.write(line.upper())
        self.close()


# Names


@unix
def test_it_has_the_names_of_the_standard_module_and_no_others():
    assert set(face.__all__) == NAMES and len(face.__all__) == len(NAMES)
    assert set(standard.__all__) <= NAMES
    if sys.version_info >= (3, 12):
        assert set(standard.__all__) == NAMES


@pytest.mark.parametrize("name", face.__all__)
def test_each_class_is_the_packages_own_and_says_that_it_lives_here(name):
    cls = getattr(face, name)
    assert cls is getattr(reactor, name)
    assert (cls.__module__, cls.__qualname__) == ("reactor.socketserver", name)
    assert cls is not getattr(standard, name, None)


@pytest.mark.parametrize("name", standard.__all__)
def test_each_class_has_the_settings_of_the_standard_one(name):
    def settings(cls):
        found = {each: getattr(cls, each) for each in dir(getattr(standard, name)) if each[0] != "_"}
        return {each: value for each, value in found.items() if not callable(value)}

    assert settings(getattr(face, name)) == settings(getattr(standard, name))


def test_importing_all_of_it_gives_these_names():
    namespace = {}
    exec("from reactor.socketserver import *", namespace)
    assert set(namespace) - {"__builtins__"} == set(face.__all__)


@pytest.mark.parametrize(
    "name",
    ["os", "selectors", "socket", "sys", "threading", "time", "BufferedIOBase", "_ServerSelector"],
)
def test_what_programs_find_in_the_standard_module_beside_its_classes_is_here_too(name):
    assert getattr(face, name) is getattr(standard, name)


@pytest.mark.parametrize("name", ["_Threads", "_NoThreads", "_SocketWriter"])
def test_the_private_classes_are_here_under_their_names(name):
    assert isinstance(getattr(face, name), type)
    assert getattr(face, name).__name__ == getattr(standard, name).__name__


# Patching


def answers(server):
    """A line there and back; the server takes one request."""
    with connected(server) as peer:
        peer.send(b"a line\n")
        peer.half_close()
        server.handle_request()
        return peer.line() == b"A LINE\n"


def test_a_selector_that_is_put_here_is_what_servers_wait_with():
    made_ones = []

    class Selector(selectors.SelectSelector):
        def __init__(self):
            super().__init__()
            made_ones.append(self)

    def served_once(server):
        server.service_actions = server.shutdown
        with connected(server) as peer:
            peer.send(b"a line\n")
            server.serve_forever()
            return peer.line() == b"A LINE\n"

    with made(face.TCPServer, Upper) as server:
        assert answers(server)
        with patch.object(face, "_ServerSelector", Selector):
            assert answers(server)  # though it has waited with another one before
            assert len(made_ones) == 1
            assert answers(server)
            assert len(made_ones) == 1  # and there is one for all times
            assert served_once(server)
            assert len(made_ones) == 2
        assert answers(server) and served_once(server)
        assert len(made_ones) == 2


def test_threading_that_is_put_here_makes_the_threads():
    started = []

    class Thread(threading.Thread):
        def start(self):
            started.append(self)
            super().start()

    with made(face.ThreadingTCPServer, Upper) as server:
        with patch.object(face, "threading", SimpleNamespace(Thread=Thread)):
            assert answers(server)
            assert len(started) == 1 and not started[0].daemon
        assert answers(server)
        assert len(started) == 1


@unix
def test_os_that_is_put_here_forks():
    pid = 2**22 + 1  # more than there can be
    with made(face.ForkingTCPServer, Upper) as server:
        with patch.object(face, "os", Mock(wraps=os, fork=Mock(return_value=pid))) as fake:
            with connected(server) as peer:
                server.handle_request()
                assert peer.rest() == b""
            fake.fork.assert_called_once_with()
            assert server.active_children == {pid}
        server.collect_children()  # of whom the system knows nothing
        assert server.active_children == set()


@pytest.mark.parametrize("cls", [face.TCPServer, face.UDPServer])
def test_socket_that_is_put_here_makes_the_listener(cls):
    with patch.object(face, "socket", Mock(wraps=socket)) as fake, made(cls, Upper):
        fake.socket.assert_called_once_with(cls.address_family, cls.socket_type)
    with made(cls, Upper):
        fake.socket.assert_called_once()


def test_time_that_is_put_here_is_what_handle_request_goes_by():
    times = iter([0.0, 100.0])
    timeouts = []

    class Nothing(selectors.SelectSelector):
        def select(self, timeout=None):
            return []

    with made(face.TCPServer, Upper, timeout=60.0) as server:
        server.handle_timeout = lambda: timeouts.append(server)
        with patch.object(face, "_ServerSelector", Nothing), patch.object(face, "time", times.__next__):
            server.handle_request()
        assert timeouts == [server] and not list(times)
        assert answers(server)


def test_selectors_that_are_put_here_are_what_a_state_machine_waits_with_on_a_blocking_server():
    with made(face.TCPServer, State) as server:
        with patch.object(face, "selectors", SimpleNamespace(**vars(selectors))) as fake:
            fake.PollSelector = Mock(wraps=selectors.PollSelector)
            assert answers(server)
            fake.PollSelector.assert_called_once_with()
        assert answers(server)
        fake.PollSelector.assert_called_once_with()


def test_a_class_for_the_list_of_threads_that_is_put_here_is_used():
    class Threads(face._Threads):
        joined = 0

        def join(self):
            Threads.joined += 1
            super().join()

    with patch.object(face, "_Threads", Threads):
        with made(face.ThreadingTCPServer, Upper) as server:
            assert answers(server)
            assert type(server._threads) is Threads
        assert Threads.joined == 1
    with made(face.ThreadingTCPServer, Upper) as server:
        assert answers(server)
        assert type(server._threads) is face._Threads is not Threads


def test_a_class_for_writing_that_is_put_here_is_used():
    class Writer(face._SocketWriter):
        def write(self, data):
            return super().write(b"> " + data)

    with made(face.TCPServer, Upper) as server:
        with patch.object(face, "_SocketWriter", Writer), connected(server) as peer:
            peer.send(b"a line\n")
            server.handle_request()
            assert peer.line() == b"> A LINE\n"
        assert answers(server)


def test_patches_of_a_patch_are_undone_one_by_one():
    original = face.threading
    first, second = SimpleNamespace(Thread=threading.Thread), SimpleNamespace(Thread=None)
    with made(face.ThreadingTCPServer, Upper) as server:
        with patch.object(face, "threading", first):
            with patch.object(face, "threading", second), connected(server) as peer:
                server.handle_error = lambda *args: None  # calling None
                server.handle_request()
                assert peer.rest() == b""
            assert face.threading is first and answers(server)
        assert face.threading is original and answers(server)


def test_a_name_that_no_room_has_is_the_faces_own():
    face.something_new = "set from outside"
    try:
        assert face.something_new == "set from outside"
    finally:
        del face.something_new
    assert not hasattr(face, "something_new")


def test_a_server_in_a_reactor_is_patched_just_as_well():
    started = []

    class Thread(threading.Thread):
        def start(self):
            started.append(self)
            super().start()

    with (
        patch.object(face, "threading", SimpleNamespace(Thread=Thread)),
        Reactor() as loop,
        made(face.ThreadingTCPServer, Upper) as server,
    ):
        loop.register(server)
        with connected(server) as peer:
            peer.send(b"a line\n")
            loop.handle_events(PATIENCE)
            assert len(started) == 1
            assert peer.line() == b"A LINE\n"


# Under the standard name

UNDER_THE_STANDARD_NAME = """
import importlib.util, sys
import reactor, reactor.socketserver as face

if sys.argv[1] == "the same module":
    sys.modules["socketserver"] = face
else:  # its file once more, as a program's path would have it
    spec = importlib.util.spec_from_file_location("socketserver", face.__file__)
    sys.modules["socketserver"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

import http.client, http.server, logging.config, socketserver, threading, xmlrpc.server
from unittest.mock import patch

for name in face.__all__:
    assert getattr(socketserver, name) is getattr(face, name) is getattr(reactor, name)
    assert getattr(socketserver, name).__module__ == socketserver.__name__, name
assert issubclass(http.server.HTTPServer, reactor.TCPServer)
assert issubclass(http.server.ThreadingHTTPServer, reactor.ThreadingMixIn)
assert issubclass(xmlrpc.server.SimpleXMLRPCServer, reactor.TCPServer)

class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *args):
        pass

started = []

class Thread(threading.Thread):
    def start(self):
        started.append(self)
        super().start()

class Fake:
    pass

Fake.Thread = Thread
with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
    serving = threading.Thread(target=server.serve_forever, args=(60,))
    serving.start()
    for fake in (threading, Fake, threading):
        with patch.object(socketserver, "threading", fake):
            client = http.client.HTTPConnection(*server.server_address, timeout=20)
            client.request("GET", "/")
            print(client.getresponse().read().decode(), len(started))
            client.close()
    server.shutdown()
    serving.join()
"""


@pytest.mark.parametrize("how", ["the same module", "its file once more"])
def test_under_the_standard_name_it_is_what_the_standard_librarys_servers_are_made_of(how):
    with program(UNDER_THE_STANDARD_NAME, how) as process:
        assert ended(process) == (0, "hello 0\nhello 1\nhello 1\n", "")


def test_a_datagram_server_answers_through_the_face():
    class UpperDatagram(face.DatagramRequestHandler):
        def handle(self):
            self.wfile.write(self.rfile.read().upper())

    with made(face.UDPServer, UpperDatagram) as server, datagram_peer(server) as peer:
        peer.send(b"a word")
        server.handle_request()
        assert peer.recv(100) == b"A WORD"
