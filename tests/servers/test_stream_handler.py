"""Proves what `StreamRequestHandler` makes of a connection: its files, and its settings."""

import io
import socket
import socketserver

import pytest

from reactor import BaseRequestHandler, StreamRequestHandler
from reactor import socketserver as face

HANDLERS = [
    pytest.param(StreamRequestHandler, id="ours"),
    pytest.param(socketserver.StreamRequestHandler, id="standard"),
]


@pytest.fixture
def pair():
    """A TCP connection: a handler's request, and its peer."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        peer = socket.create_connection(listener.getsockname())
        request, _ = listener.accept()
    with peer, request:
        peer.settimeout(20)
        yield request, peer


def run(base, pair, handle, **settings):
    """Drive one handler whose `handle` is this function; return it."""
    return type("Handler", (base,), {"handle": handle, **settings})(pair[0], "the address", "the server")


@pytest.mark.parametrize("base", HANDLERS)
def test_it_knows_its_request_under_both_names_its_client_and_its_server(base, pair):
    handler = run(base, pair, lambda self: None)
    assert handler.request is handler.connection is pair[0]
    assert (handler.client_address, handler.server) == ("the address", "the server")


@pytest.mark.parametrize("base", HANDLERS)
@pytest.mark.parametrize("timeout", [None, 0.01, 7.5])
def test_timeout_is_the_sockets(base, pair, timeout):
    seen = []
    run(base, pair, lambda self: seen.append(self.connection.gettimeout()), timeout=timeout)
    assert seen == [timeout]


@pytest.mark.parametrize("base", HANDLERS)
def test_a_wait_longer_than_timeout_is_a_timeout_error(base, pair):
    with pytest.raises(TimeoutError):
        run(base, pair, lambda self: self.rfile.readline(), timeout=0.01)


@pytest.mark.parametrize("base", HANDLERS)
@pytest.mark.parametrize("disable", [False, True])
def test_the_nagle_algorithm_is_left_alone_or_disabled(base, pair, disable):
    def handle(self):
        seen.append(bool(self.connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)))

    seen = []
    run(base, pair, handle, disable_nagle_algorithm=disable)
    assert seen == [disable]


@pytest.mark.parametrize("base", HANDLERS)
def test_reading_is_buffered_unless_rbufsize_is_0(base, pair):
    kinds = []
    for rbufsize in (-1, 0, 100):
        run(base, pair, lambda self: kinds.append(type(self.rfile)), rbufsize=rbufsize)
    assert kinds == [io.BufferedReader, socket.SocketIO, io.BufferedReader]


@pytest.mark.parametrize("base", HANDLERS)
def test_writing_is_not_buffered_by_default(base, pair):
    def handle(self):
        assert self.wfile.write(memoryview(b"abcdef").cast("H")) == 6  # bytes, not items
        assert pair[1].recv(100) == b"abcdef"

    run(base, pair, handle)


@pytest.mark.parametrize("base", HANDLERS)
def test_with_a_wbufsize_what_is_written_is_sent_when_the_handler_ends(base, pair):
    def handle(self):
        assert self.wfile.write(b"later") == 5
        pair[1].setblocking(False)
        with pytest.raises(BlockingIOError):
            pair[1].recv(100)
        pair[1].settimeout(20)

    run(base, pair, handle, wbufsize=-1)
    assert pair[1].recv(100) == b"later"


@pytest.mark.parametrize("base", HANDLERS)
@pytest.mark.parametrize("wbufsize", [0, -1])
def test_what_writes_is_a_file_of_the_connection(base, pair, wbufsize):
    def handle(self):
        assert (self.wfile.writable(), self.wfile.readable()) == (True, False)
        assert self.wfile.fileno() == self.rfile.fileno() == self.connection.fileno()
        with io.TextIOWrapper(self.wfile, encoding="ascii", write_through=True) as text:
            print("a line", file=text)

    run(base, pair, handle, wbufsize=wbufsize)
    assert pair[1].recv(100) == b"a line\n"


@pytest.mark.parametrize("base", HANDLERS)
@pytest.mark.parametrize("wbufsize", [0, -1])
def test_both_files_are_closed_at_the_end_and_the_connection_is_not(base, pair, wbufsize):
    handler = run(base, pair, lambda self: None, wbufsize=wbufsize)
    assert handler.rfile.closed
    assert handler.wfile.closed
    assert pair[0].fileno() >= 0


@pytest.mark.parametrize("base", HANDLERS)
@pytest.mark.parametrize("closed", [False, True])
def test_finish_flushes_unless_closed_and_a_peer_that_is_gone_is_no_error(base, pair, closed):
    class File:
        def flush(self):
            calls.append("flush")
            raise BrokenPipeError

        def close(self):
            calls.append("close")

    def handle(self):
        self.wfile.close()
        self.wfile = File()
        self.wfile.closed = closed

    calls = []
    handler = run(base, pair, handle)
    assert calls == (["close"] if closed else ["flush", "close"])
    assert handler.rfile.closed


@pytest.mark.parametrize("module", [face, socketserver], ids=["ours", "standard"])
def test_what_raises_in_setup_means_no_finish_and_what_raises_in_handle_does_not(module):
    for failing, expected in (("setup", ["setup"]), ("handle", ["setup", "handle", "finish"])):
        calls = []

        def method(name, failing=failing, calls=calls):
            def call(self):
                calls.append(name)
                if name == failing:
                    raise LookupError

            return call

        names = ("setup", "handle", "finish")
        handler = type("Handler", (module.BaseRequestHandler,), {name: method(name) for name in names})
        with pytest.raises(LookupError):
            handler(None, None, None)
        assert calls == expected


def test_a_handler_without_methods_of_its_own_does_nothing():
    handler = BaseRequestHandler("request", 1, None)
    assert (handler.request, handler.client_address, handler.server) == ("request", 1, None)
