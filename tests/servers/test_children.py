"""Proves what `ForkingMixIn` does with its children: how they end, and who waits for them and when."""

import os
import signal

import pytest

from reactor import BaseRequestHandler, ForkingTCPServer, Limits, StreamRequestHandler, forking
from tests.support.servers import (
    FOREVER,
    FORKS,
    Channel,
    Thread,
    connected,
    hosts,
    made,
    nothing_left,
)

pytestmark = FORKS

STREAMS = hosts("TCP", kinds=("Forking",), standard=True)


class Answers(StreamRequestHandler):
    """Says who it is, then does as its line says."""

    def handle(self):
        self.wfile.write(b"%d\n" % os.getpid())
        word = self.rfile.readline().strip()
        if word == b"raise":
            raise LookupError
        if word == b"exit":
            raise SystemExit


def child_of(server, peer):
    """Take one request; the process that handles it."""
    server.handle_request()
    pid = int(peer.line())
    assert server.active_children == {pid}
    return pid


def wait_until_ended(pid):
    """Without collecting it."""
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def quiet(self, request, client_address):
    """A `handle_error` that says nothing."""


@pytest.mark.parametrize("cls", STREAMS)
@pytest.mark.parametrize(("word", "status"), [(b"end\n", 0), (b"raise\n", 1), (b"exit\n", 1)])
def test_a_childs_status_says_whether_its_request_was_handled(cls, word, status):
    with nothing_left(), made(cls, Answers, handle_error=quiet) as server, connected(server) as peer:
        pid = child_of(server, peer)
        peer.send(word)
        assert peer.rest() == b""
        _, seen = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(seen) == status


@pytest.mark.parametrize("cls", STREAMS)
@pytest.mark.parametrize("collect", ["handle_timeout", "service_actions", "collect_children"])
def test_a_child_that_has_ended_is_collected_and_one_that_runs_is_not(cls, collect):
    with nothing_left(), made(cls, Answers) as server, connected(server) as peer:
        pid = child_of(server, peer)
        getattr(server, collect)()
        assert server.active_children == {pid}
        peer.send(b"end\n")
        wait_until_ended(pid)
        getattr(server, collect)()
        assert server.active_children == set()


@pytest.mark.parametrize("cls", hosts("TCP", kinds=("Forking",)))
def test_the_next_request_collects_the_children_of_earlier_ones(cls):
    with nothing_left(), made(cls, Answers) as server:
        for _ in range(3):
            with connected(server) as peer:
                pid = child_of(server, peer)
                peer.send(b"end\n")
                wait_until_ended(pid)


def test_children_are_left_to_a_program_that_collects_them_itself_until_the_limits_need_to_know():
    def take():
        with connected(server) as peer:
            server.handle_request()
            pid = int(peer.line())
            peer.send(b"end\n")
            wait_until_ended(pid)
            return pid

    def collect_children(self, *, blocking=False):
        """Later."""

    attributes = {"collect_children": collect_children, "limits": Limits(max_connections=2)}
    with nothing_left(), made(ForkingTCPServer, Answers, **attributes) as server:
        first, second = take(), take()
        assert server.active_children == {first, second}
        third = take()
        assert server.active_children == {third}
        os.waitpid(third, 0)


@pytest.mark.parametrize("cls", STREAMS)
def test_server_close_waits_for_children_unless_told_otherwise(cls):
    for blocks in (True, False):
        with made(cls, Answers, block_on_close=blocks) as server, connected(server) as peer:
            pid = child_of(server, peer)
            if blocks:
                peer.send(b"end\n")
            server.server_close()
            assert server.active_children == (set() if blocks else {pid})
            if not blocks:
                peer.send(b"end\n")
                os.waitpid(pid, 0)


@pytest.mark.parametrize("cls", STREAMS)
def test_at_max_children_collecting_waits_for_one_to_end(cls, monkeypatch):
    def waitpid(pid, options):
        looks.append(pid)
        if not options or len(looks) == 2:  # now that it waits
            peer.send(b"end\n")
        return wait(pid, options)

    wait, looks = os.waitpid, []
    with nothing_left(), made(cls, Answers, max_children=1) as server, connected(server) as peer:
        child_of(server, peer)
        with monkeypatch.context() as patch:
            patch.setattr(os, "waitpid", waitpid)
            server.collect_children()
        assert server.active_children == set()


def test_between_its_looks_at_max_children_it_sleeps(monkeypatch):
    def sleep(seconds):
        naps.append(seconds)
        if len(naps) == 3:
            peer.send(b"end\n")
            wait_until_ended(pid)

    def waitpid(pid, options):
        looks.append(pid)
        assert len(looks) <= 10, "it spins"
        return wait(pid, options)

    wait, looks, naps = os.waitpid, [], []
    with (
        nothing_left(),
        made(ForkingTCPServer, Answers, max_children=1) as server,
        connected(server) as peer,
    ):
        pid = child_of(server, peer)
        with monkeypatch.context() as patch:
            patch.setattr(os, "waitpid", waitpid)
            patch.setattr(forking, "sleep", sleep)
            server.collect_children()
        assert server.active_children == set()
    assert naps == [forking.CHILD_POLL] * 3


@pytest.mark.parametrize("cls", STREAMS)
@pytest.mark.parametrize("most", [1, 40])
def test_children_that_somebody_else_has_waited_for_are_forgotten(cls, most, monkeypatch):
    def waitpid(pid, options):
        raise ChildProcessError  # though the tests' process may have other children

    with nothing_left(), made(cls, Answers, max_children=most) as server, connected(server) as peer:
        pid = child_of(server, peer)
        peer.send(b"end\n")
        os.waitpid(pid, 0)
        with monkeypatch.context() as patch:
            patch.setattr(os, "waitpid", waitpid)
            server.collect_children()
        assert server.active_children == set()


@pytest.mark.parametrize("cls", STREAMS)
def test_parent_and_child_both_close_the_connection(cls):
    def close_request(self, request):
        super(type(self), self).close_request(request)
        channel.say(f"{os.getpid()} {request.fileno()}")

    with (
        Channel() as channel,
        made(cls, Answers, close_request=close_request) as server,
        connected(server) as peer,
    ):
        pid = child_of(server, peer)
        assert channel.hear() == f"{os.getpid()} -1"
        peer.send(b"end\n")
        assert channel.hear() == f"{pid} -1"


def test_a_childs_signals_do_not_wake_its_parent():
    class Handler(BaseRequestHandler):
        def handle(self):
            self.request.sendall(b"%d" % signal.set_wakeup_fd(-1))

    def visit():
        with connected(server) as peer:
            try:
                return peer.rest()
            finally:
                server.shutdown()

    with nothing_left(), made(ForkingTCPServer, Handler) as server:
        visitor = Thread(visit)
        server.serve_forever(FOREVER)
        assert visitor.finish() == b"-1"
