"""Proves which options a server's socket gets, and that nobody gets them by accident."""

import socket

import pytest

from reactor import BaseRequestHandler, TCPServer, UDPServer
from tests.support.servers import hosts, made

OPTIONS = [("allow_reuse_address", socket.SO_REUSEADDR), ("allow_reuse_port", socket.SO_REUSEPORT)]


@pytest.mark.parametrize("cls", hosts("TCP", "UDP", kinds=("",), standard=True))
@pytest.mark.parametrize(("attribute", "option"), OPTIONS)
@pytest.mark.parametrize("wanted", [False, True])
def test_an_address_and_a_port_are_used_again_if_that_was_asked_for(cls, attribute, option, wanted):
    with made(cls, BaseRequestHandler, **{attribute: wanted}) as server:
        assert bool(server.socket.getsockopt(socket.SOL_SOCKET, option)) is wanted


@pytest.mark.parametrize("cls", hosts("UnixStream", kinds=("",)))
def test_a_unix_server_that_asks_for_all_of_it_can_be_made(cls):
    with made(cls, BaseRequestHandler, allow_reuse_address=True, allow_reuse_port=True) as server:
        assert not server.socket.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)


@pytest.mark.parametrize("attribute", ["allow_reuse_address", "allow_reuse_port"])
def test_what_a_program_sets_for_all_tcp_servers_is_not_set_for_udp_servers(attribute, monkeypatch):
    monkeypatch.setattr(TCPServer, attribute, True)
    assert getattr(UDPServer, attribute) is False
