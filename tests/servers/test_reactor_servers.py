"""Proves what is a reactor server's own: its limits, its upkeep, its log, and how it ends."""

import pytest

from reactor import (
    DatagramRequestHandler,
    Limits,
    Line,
    Reactor,
    ReactorMixIn,
    ReactorTCPServer,
    ReactorUnixDatagramServer,
    StateRequestHandler,
    TCPServer,
    ThreadingTCPServer,
    serving,
)
from tests.support.clock import ManualClock
from tests.support.servers import (
    FOREVER,
    PATIENCE,
    Thread,
    connected,
    datagram_peer,
    made,
    nothing_left,
    running,
)


class Upper(StateRequestHandler):
    """Lines in capitals; an empty one raises."""

    def start(self):
        self.expect(Line(), self.line)

    def line(self, line):
        if line == b"\n":
            raise LookupError("an empty line")
        self.write(line.upper())


class UpperDatagram(DatagramRequestHandler):
    def handle(self):
        self.wfile.write(self.packet.upper())


def test_it_has_limits_and_a_classic_server_has_none():
    assert ReactorTCPServer.limits == Limits()
    assert TCPServer.limits is ThreadingTCPServer.limits is None


def test_other_bases_see_the_arguments_of_a_subclass():
    class Tagged:
        def __init_subclass__(cls, tag, **kwargs):
            super().__init_subclass__(**kwargs)
            cls.tag = tag

    class Server(ReactorMixIn, Tagged, TCPServer, tag="red"):
        pass

    assert Server.tag == "red"


def test_service_actions_is_called_as_often_as_serve_forever_was_told(monkeypatch):
    calls = []
    clock = ManualClock()
    monkeypatch.setattr(serving, "Reactor", lambda: Reactor(clock=clock))
    with made(ReactorTCPServer, Upper, service_actions=lambda self: calls.append(1)) as server:
        server.shutdown()
        server.serve_forever(7)
        for seconds, expected in ((6.5, 0), (1, 1), (6, 1), (1, 2)):
            clock.advance(seconds)
            server.reactor.handle_events(0)
            assert len(calls) == expected


@pytest.mark.parametrize("serve", ["serve_forever", "handle_request"])
def test_a_handler_that_closes_its_server_leaves_nothing_that_somebody_has_to_close_again(serve):
    class Closing(StateRequestHandler):
        def start(self):
            self.server.server_close()

    with nothing_left():
        server = ReactorTCPServer(("127.0.0.1", 0), Closing)
        thread = Thread(getattr(server, serve))
        with connected(server) as peer:
            assert peer.rest() == b""
        thread.finish()


def test_handlers_that_come_after_handle_request_are_not_kept():
    with nothing_left(), made(ReactorTCPServer, Upper, timeout=0.01) as server:
        server.handle_request()
        server.timeout = None
        with running(server), connected(server) as peer:
            assert peer.ask(b"a\n") == b"A\n"
            assert not server._accepted


def test_the_log_names_the_row_of_a_handler_that_failed_and_the_client_of_one_that_was_never_made(caplog):
    class Unmade(Upper):
        def __init__(self, *args):
            raise LookupError("in the constructor")

    for handler, words in ((Upper, "error in <Upper"), (Unmade, "error in the request from ('127.0.0.1'")):
        caplog.clear()
        with made(ReactorTCPServer, handler) as server, running(server), connected(server) as peer:
            peer.send(b"\n")
            try:
                assert peer.rest() == b""
            except ConnectionResetError:
                pass
        (record,) = [each for each in caplog.records if each.levelname == "ERROR"]
        assert record.getMessage().startswith(words)


def test_a_failure_after_the_last_one_in_a_handler_is_named_for_itself(caplog):
    class Second(Upper):
        made = 0

        def __init__(self, *args):
            Second.made += 1
            if Second.made == 2:
                raise LookupError("in the constructor")
            super().__init__(*args)

    with made(ReactorTCPServer, Second) as server, running(server):
        for _ in range(2):
            with connected(server) as peer:
                peer.send(b"\n")
                peer.socket.settimeout(PATIENCE)
                try:
                    peer.rest()
                except ConnectionResetError:
                    pass
    first, second = (each.getMessage() for each in caplog.records if each.levelname == "ERROR")
    assert first.startswith("error in <Second")
    assert second.startswith("error in the request from ")


def test_answers_that_the_kernel_refuses_are_kept_until_their_reader_reads():
    many = 600  # more than a Unix socket's queue holds
    with (
        nothing_left(),
        made(ReactorUnixDatagramServer, UpperDatagram) as server,
        running(server),
        datagram_peer(server) as peer,
    ):
        for number in range(many):
            peer.send(b"a%d" % number)
        assert [peer.recv(100) for _ in range(many)] == [b"A%d" % number for number in range(many)]


def test_closing_from_another_thread_returns_when_serving_has_ended():
    with nothing_left(), made(ReactorTCPServer, Upper) as server:
        thread = Thread(server.serve_forever, FOREVER)
        with connected(server) as peer:
            assert peer.ask(b"a\n") == b"A\n"
            server.server_close()
            assert not server._lifecycle.serving
            assert peer.rest() == b""
        thread.finish()
