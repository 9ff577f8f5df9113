"""Proves which addresses a server takes: IPv6, both kinds at once, names; and what it says of others."""

from __future__ import annotations

import http.client
import http.server
import socket

import pytest

from reactor import BaseRequestHandler, Line, StateRequestHandler, TCPServer, ThreadingTCPServer
from tests.support.servers import PATIENCE, hosts, made, nothing_left, running


class Upper(StateRequestHandler):
    """Lines in capitals."""

    def start(self):
        self.expect(Line(), self.line)

    def line(self, line):
        self.write(line.upper())
        self.close()


class UpperDatagram(BaseRequestHandler):
    """The same."""

    def handle(self):
        data, sock = self.request
        sock.sendto(data.upper(), self.client_address)


def has_ipv6():
    if not socket.has_ipv6:
        return False
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")
needs_both = pytest.mark.skipif(
    not has_ipv6() or not socket.has_dualstack_ipv6(), reason="no sockets for IPv4 and IPv6 together here"
)
INET = hosts("TCP", "UDP")


def handler_for(cls):
    return Upper if cls.socket_type == socket.SOCK_STREAM else UpperDatagram


def ask(server, host):
    """A word there and back, by way of *host*."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, server.socket_type) as sock:
        sock.settimeout(PATIENCE)
        sock.connect((host, server.server_address[1]))
        sock.sendall(b"a word\n")
        answer = sock.recv(100)
        if server.socket_type == socket.SOCK_STREAM:
            sock.shutdown(socket.SHUT_WR)  # a child may hold a copy
            assert sock.recv(100) == b""
        return answer


def v6_only(sock):
    return sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) != 0


# IPv6 without more ado


@needs_ipv6
@pytest.mark.parametrize("address", [("::1", 0), (b"::1", 0)], ids=repr)
@pytest.mark.parametrize("cls", INET)
def test_an_ipv6_address_is_served(cls, address):
    with nothing_left(), cls(address, handler_for(cls)) as server:
        assert server.server_address == server.socket.getsockname()
        assert server.server_address[0] == "::1" and len(server.server_address) == 4
        with running(server):
            assert ask(server, "::1") == b"A WORD\n"
        assert server.address_family == socket.AF_INET6
        assert cls.address_family == socket.AF_INET  # other servers of the class are none the wiser


@pytest.mark.parametrize("host", ["", "0.0.0.0", "127.0.0.1", b"127.0.0.1"])
@pytest.mark.parametrize("cls", INET)
def test_every_other_address_is_served_as_ever(cls, host):
    with cls((host, 0), handler_for(cls)) as server, running(server):
        assert server.address_family == server.socket.family == socket.AF_INET
        assert "address_family" not in vars(server)
        assert ask(server, "127.0.0.1") == b"A WORD\n"


@pytest.mark.parametrize("cls", hosts("TCP"))
def test_a_name_is_looked_up_in_the_family_of_the_class(cls):
    with cls(("localhost", 0), handler_for(cls)) as server, running(server):
        assert server.server_address[0].startswith("127.")
        assert ask(server, "127.0.0.1") == b"A WORD\n"


@needs_ipv6
@pytest.mark.parametrize("cls", hosts("TCP", kinds=("", "Reactor")))
def test_a_class_may_ask_for_ipv6_as_in_socketserver(cls):
    with made_at(cls, ("", 0), address_family=socket.AF_INET6) as server, running(server):
        assert server.server_address[0] == "::"
        assert ask(server, "::1") == b"A WORD\n"


def made_at(cls, address, **attributes):
    return type(cls.__name__, (cls,), attributes)(address, handler_for(cls))


# dual_stack


@needs_both
@pytest.mark.parametrize("host", ["", "::", b"", b"::"])
@pytest.mark.parametrize("cls", INET)
def test_one_socket_serves_both_kinds(cls, host):
    with nothing_left(), made_at(cls, (host, 0), dual_stack=True) as server:
        assert not v6_only(server.socket)
        with running(server):
            assert ask(server, "::1") == b"A WORD\n"
            assert ask(server, "127.0.0.1") == b"A WORD\n"


@needs_both
@pytest.mark.parametrize("cls", hosts("TCP"))
def test_ipv6_alone_refuses_ipv4(cls):
    with made_at(cls, ("::", 0), dual_stack=False) as server, running(server):
        assert v6_only(server.socket)
        assert ask(server, "::1") == b"A WORD\n"
        with pytest.raises(ConnectionRefusedError):
            ask(server, "127.0.0.1")


@needs_both
@pytest.mark.parametrize("cls", hosts("UDP", kinds=("", "Reactor")))
def test_ipv6_alone_leaves_the_ipv4_port_to_somebody_else(cls):
    with (
        made_at(cls, ("::", 0), dual_stack=False) as server,
        cls(("0.0.0.0", server.server_address[1]), UpperDatagram),
        running(server),
    ):
        assert ask(server, "::1") == b"A WORD\n"


@needs_ipv6
@pytest.mark.parametrize("cls", hosts("TCP", "UDP", kinds=("", "Reactor")))
def test_unless_it_is_set_the_system_decides(cls):
    assert cls.dual_stack is None
    with socket.socket(socket.AF_INET6, cls.socket_type) as untouched:
        default = v6_only(untouched)
    with made_at(cls, ("::", 0)) as server:
        assert v6_only(server.socket) is default


# What can't be had is said in words, and leaves nothing open


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", b"127.0.0.1"])
@pytest.mark.parametrize("cls", hosts("TCP", "UDP", kinds=("", "Reactor")))
def test_dual_stack_with_an_ipv4_address(cls, host, monkeypatch):
    monkeypatch.setattr("socket.has_dualstack_ipv6", lambda: True)
    with nothing_left(), pytest.raises(ValueError, match=r"dual_stack.*0\.1|dual_stack.*0\.0.*IPv4"):
        made_at(cls, (host, 0), dual_stack=True)


@pytest.mark.parametrize("host", ["", "::"])
def test_dual_stack_on_a_system_without_it(host, monkeypatch):
    monkeypatch.setattr("socket.has_dualstack_ipv6", lambda: False)
    with nothing_left(), pytest.raises(ValueError, match=r"dual_stack.*this system"):
        made_at(TCPServer, (host, 0), dual_stack=True)


@pytest.mark.parametrize("dual_stack", [True, False])
@pytest.mark.parametrize("cls", hosts("UnixStream", "UnixDatagram"))
def test_dual_stack_of_a_unix_server(cls, dual_stack):
    server = made(cls, handler_for(cls), dual_stack=dual_stack)
    with nothing_left(), pytest.raises(ValueError, match=r"dual_stack.*IP addresses"), server:
        pass


def test_a_host_that_is_not_known_is_the_systems_exception():
    with nothing_left(), pytest.raises(socket.gaierror):
        TCPServer(("no such host", 0), Upper)


# The standard library's handlers upon it


class Page(http.server.BaseHTTPRequestHandler):
    """One page."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *args):
        pass


def page_of(host, port):
    client = http.client.HTTPConnection(host, port, timeout=PATIENCE)
    try:
        client.request("GET", "/")
        return client.getresponse().read()
    finally:
        client.close()


@needs_both
def test_http_over_both_kinds():
    class Both(ThreadingTCPServer):
        dual_stack = True
        daemon_threads = False

    with nothing_left(), Both(("", 0), Page) as server, running(server):
        assert page_of("::1", server.server_address[1]) == b"hello"
        assert page_of("127.0.0.1", server.server_address[1]) == b"hello"


@needs_ipv6
def test_http_over_ipv6():
    with nothing_left(), ThreadingTCPServer(("::1", 0), Page) as server, running(server):
        assert page_of("::1", server.server_address[1]) == b"hello"
