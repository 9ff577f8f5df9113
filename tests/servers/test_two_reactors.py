"""Proves that a reactor server belongs to one reactor at a time, and takes its connections' ends along."""

import pytest

from reactor import Line, Reactor, ReactorTCPServer, StateRequestHandler
from tests.support.servers import connected, in_loop, looping, made, nothing_left, running


class Upper(StateRequestHandler):
    def start(self):
        self.expect(Line(), self.line)

    def line(self, line):
        self.write(line.upper())


def test_a_server_of_one_reactor_is_refused_by_another_and_goes_on_in_the_first():
    with nothing_left(), Reactor() as first, Reactor() as second, made(ReactorTCPServer, Upper) as server:
        first.register(server)
        with pytest.raises(ValueError, match="has a reactor already"):
            second.register(server)
        assert server.reactor is first
        with looping(first), connected(server) as peer:
            assert peer.ask(b"a\n") == b"A\n"


def test_a_server_that_was_shut_down_in_a_reactor_serves_alone_and_closing_it_ends_what_is_left_in_both():
    with nothing_left(), Reactor() as first, made(ReactorTCPServer, Upper) as server, looping(first):
        in_loop(first, first.register, server)
        with connected(server) as early:
            assert early.ask(b"a\n") == b"A\n"
            in_loop(first, server.shutdown)
            with running(server), connected(server) as late:
                assert late.ask(b"b\n") == b"B\n"
                assert early.ask(b"c\n") == b"C\n"
                assert server.reactor is not first
                server.server_close()
                assert late.rest() == early.rest() == b""
        assert list(first.requests) == []
