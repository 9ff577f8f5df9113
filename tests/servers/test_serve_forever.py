"""Proves that `serve_forever` leaves a server, and the process, as it found them, however it ends."""

import errno
import os
import signal

import pytest

from reactor import StateRequestHandler, base
from tests.support.servers import (
    FOREVER,
    PATIENCE,
    Thread,
    connected,
    hosts,
    made,
    nothing_left,
    running,
)

CLASSIC = hosts("TCP", kinds=("", "Threading"))


class Silent(StateRequestHandler):
    """Ends a connection at once."""

    def start(self):
        self.close()


def is_served(server):
    with connected(server) as peer:
        return peer.rest() == b""


@pytest.mark.parametrize("cls", CLASSIC)
def test_without_descriptors_for_it_serving_fails_and_may_be_tried_again(cls, monkeypatch):
    def refuse():
        raise OSError(errno.EMFILE, "too many")

    with nothing_left(), made(cls, Silent) as server:
        with monkeypatch.context() as patch:
            patch.setattr(base, "Waker", refuse)
            with pytest.raises(OSError, match="too many"):
                server.serve_forever()
        with running(server):
            assert is_served(server)


@pytest.mark.parametrize("cls", CLASSIC)
def test_handle_request_before_and_after_serve_forever(cls):
    with nothing_left(), made(cls, Silent, timeout=PATIENCE) as server:
        for _ in range(2):
            thread = Thread(server.handle_request)
            assert is_served(server)
            thread.finish()
            with running(server):
                assert is_served(server)


@pytest.mark.parametrize("cls", hosts("TCP"))
def test_in_the_main_thread_signals_wake_it_while_it_serves_and_then_whom_they_woke_before(cls):
    seen = []

    def service_actions(self):
        seen.append(signal.set_wakeup_fd(-1))
        signal.set_wakeup_fd(seen[-1])
        self.shutdown()

    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer)
    try:
        with nothing_left(), made(cls, Silent, service_actions=service_actions) as server:
            server.serve_forever(0.01)
        assert seen[0] not in (-1, writer)
    finally:
        assert signal.set_wakeup_fd(before) == writer
        os.close(reader)
        os.close(writer)


@pytest.mark.parametrize("cls", CLASSIC)
def test_what_stops_a_hook_with_an_exception_of_the_system_ends_serving_and_the_connection(cls):
    class Stopped(BaseException):
        pass

    def process_request(self, request, client_address):
        raise Stopped

    with nothing_left(), made(cls, Silent, process_request=process_request) as server:
        thread = Thread(server.serve_forever, FOREVER)
        assert is_served(server)
        with pytest.raises(Stopped):
            thread.finish()


@pytest.mark.parametrize("cls", CLASSIC)
def test_what_service_actions_raises_ends_serving_and_the_server_may_serve_again(cls):
    failing = [True]

    def service_actions(self):
        if failing:
            failing.pop()
            raise LookupError("once")

    with nothing_left(), made(cls, Silent, service_actions=service_actions) as server:
        with pytest.raises(LookupError, match="once"):
            server.serve_forever(0.01)
        with running(server):
            assert is_served(server)


@pytest.mark.parametrize("cls", CLASSIC)
def test_closing_a_server_that_serves_in_another_thread_ends_serving_first(cls):
    with nothing_left(), made(cls, Silent) as server:
        thread = Thread(server.serve_forever, FOREVER)
        assert is_served(server)
        server.server_close()
        thread.finish()
        assert server.fileno() == -1
