"""Proves what becomes of offloaded work whose connection has ended, and what driving a handler here and now
leaves behind."""

import gc
import socket
import weakref

import pytest

from reactor import Line, StateRequestHandler
from tests.support.pairs import House


class Offloading(StateRequestHandler):
    """Offloads with each line."""

    def start(self):
        self.expect(Line(), self.line)
        self.results = []

    def line(self, line):
        self.offload(self.work, line, then=self.results.append)

    def work(self, line):
        if line == b"raise\n":
            raise LookupError("not found")
        return line


@pytest.mark.parametrize(("line", "said"), [(b"raise\n", True), (b"fine\n", False)])
def test_the_result_of_running_work_is_dropped_and_an_error_is_a_debug_line(line, said, caplog):
    with House() as house:
        handler, peer = house.join(Offloading)
        house.turn()
        peer.send(line)
        house.turn()
        finish = house.executor.start_next()
        handler.abort()
        house.turn()
        finish()
        house.turn()
        assert handler.results == []
        assert sum("its offloaded call raised" in text for text in caplog.messages) == said


def test_work_of_a_handler_whose_constructor_fails_is_cancelled():
    class Failing(Offloading):
        def __init__(self, *args):
            super().__init__(*args)
            self.offload(self.work, b"never")
            raise LookupError("in the constructor")

    with House() as house:
        with pytest.raises(LookupError):
            house.join(Failing)
        ((future, _, _),) = house.executor.jobs
        assert future.cancelled()


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.mark.parametrize("timeout", [None, 7.5])
def test_here_and_now_the_connection_waits_for_nothing_and_is_given_back_as_it_was(pair, timeout):
    class Seeing(StateRequestHandler):
        disable_nagle_algorithm = False

        def start(self):
            seen.append(self.request.gettimeout())
            self.close()

    seen = []
    pair[0].settimeout(timeout)
    pair[1].shutdown(socket.SHUT_WR)
    Seeing(pair[0], None, None)
    assert seen == [0.0]
    assert pair[0].gettimeout() == timeout


def test_a_handler_that_failed_here_and_now_is_gone_with_its_error(pair):
    class Failing(StateRequestHandler):
        disable_nagle_algorithm = False

        def start(self):
            made.append(weakref.ref(self))
            raise LookupError

    made = []
    gc.disable()
    try:
        with pytest.raises(LookupError) as caught:
            Failing(pair[0], None, None)
        del caught
        assert made[0]() is None
    finally:
        gc.enable()
