"""Proves what Unix servers promise of their paths: stale ones taken over, all others left alone."""

import os
import socket
import stat
import sys
import tempfile

import pytest

from reactor import BaseRequestHandler, ForkingUnixStreamServer, Line, StateRequestHandler, UnixStreamServer
from tests.support.servers import FORKS, Peer, connected, datagram_peer, hosts, nothing_left, running

STREAMS = hosts("UnixStream")
EVERY = hosts("UnixStream", "UnixDatagram")


class Upper(StateRequestHandler):
    """Lines in capitals."""

    def start(self):
        self.expect(Line(), self.line)

    def line(self, line):
        self.write(line.upper())


class UpperDatagram(BaseRequestHandler):
    """The same."""

    def handle(self):
        data, sock = self.request
        sock.sendto(data.upper(), self.client_address)


def handler_for(cls):
    return Upper if cls.socket_type == socket.SOCK_STREAM else UpperDatagram


def is_served(server):
    if server.socket_type == socket.SOCK_STREAM:
        with connected(server) as peer:
            answer = peer.ask(b"a word\n")
            peer.half_close()
            return answer == b"A WORD\n" and peer.rest() == b""
    with datagram_peer(server) as peer:
        peer.send(b"a word")
        return peer.recv(100) == b"A WORD"


@pytest.fixture
def path(tmp_path, monkeypatch):
    """A path that is short enough, whatever the folder's is."""
    monkeypatch.chdir(tmp_path)
    return "server.socket"


def made_now(folder):
    """The time that a file gets which is made now."""
    with tempfile.TemporaryFile(dir=folder) as file:
        return os.fstat(file.fileno()).st_mtime_ns


def left_behind(cls, path):
    """What a server that was killed leaves."""
    with socket.socket(socket.AF_UNIX, cls.socket_type) as dead:
        dead.bind(path)


@pytest.mark.parametrize("as_given", [str, os.fsencode])
@pytest.mark.parametrize("cls", EVERY)
def test_the_path_of_a_dead_server_is_taken_over_and_removed_at_the_end(cls, as_given, path):
    left_behind(cls, path)
    with nothing_left(), cls(as_given(path), handler_for(cls)) as server, running(server):
        assert is_served(server)
        assert os.path.exists(path)
    assert not os.path.exists(path)


# Not the forking ones: their child would hold a copy of what this very process asks the path with.
@pytest.mark.parametrize("cls", hosts("UnixStream", "UnixDatagram", kinds=("", "Threading", "Reactor")))
def test_the_path_of_a_live_server_is_left_alone(cls, path):
    with cls(path, handler_for(cls)) as server, running(server):
        with pytest.raises(OSError, match="in use"):
            cls(path, handler_for(cls))
        assert is_served(server)
    assert not os.path.exists(path)


def test_whoever_asks_at_a_live_path_is_gone_at_once_even_if_a_child_holds_a_copy(path, monkeypatch):
    copies = []
    real = socket.socket.connect

    def connect(self, address):
        real(self, address)
        copies.append(os.dup(self.fileno()))  # as a fork just now would make one

    monkeypatch.setattr(socket.socket, "connect", connect)
    with socket.socket(socket.AF_UNIX) as live:
        live.bind(path)
        live.listen()
        with pytest.raises(OSError, match="in use"):
            UnixStreamServer(path, Upper)
        asked, _ = live.accept()
        with asked:
            asked.settimeout(3.0)
            try:
                assert asked.recv(1) == b""
            finally:
                for copy in copies:
                    os.close(copy)


@pytest.mark.parametrize("cls", EVERY)
def test_the_path_of_a_server_that_is_too_busy_to_accept_is_left_alone(cls, path):
    with (
        socket.socket(socket.AF_UNIX, cls.socket_type) as busy,
        socket.socket(socket.AF_UNIX, cls.socket_type) as a,
    ):
        busy.bind(path)
        if cls.socket_type == socket.SOCK_STREAM:
            busy.listen(0)
            a.connect(path)  # its queue is full
        with pytest.raises(OSError, match="in use"):
            cls(path, handler_for(cls))
        assert os.path.exists(path)


@pytest.mark.parametrize("cls", EVERY)
def test_a_file_that_is_no_socket_is_never_removed(cls, path):
    with open(path, "w") as file:
        file.write("precious")
    with nothing_left(), pytest.raises(OSError, match="in use"):
        cls(path, handler_for(cls))
    with open(path) as file:
        assert file.read() == "precious"


@pytest.mark.parametrize("cls", EVERY)
def test_what_somebody_else_put_at_the_path_is_left_there(cls, path):
    with cls(path, handler_for(cls)):
        os.unlink(path)
        with socket.socket(socket.AF_UNIX, cls.socket_type) as successor:
            successor.bind(path)
    assert os.path.exists(path)


@pytest.mark.parametrize("cls", EVERY)
def test_a_server_that_starts_while_another_drains_keeps_its_path(cls, path, tmp_path):
    with cls(path, handler_for(cls)) as former:
        while made_now(tmp_path) == os.stat(path).st_mtime_ns:
            pass  # the file system's clock ticks some hundred times a second
        former.socket.close()  # as draining does; with it goes the last that holds the file's number
        latter = cls(path, handler_for(cls))
    with latter:
        assert os.path.exists(path)
        with running(latter):
            assert is_served(latter)


@pytest.mark.parametrize("cls", EVERY)
def test_a_path_that_is_gone_already_is_no_error(cls, path):
    with cls(path, handler_for(cls)):
        os.unlink(path)


@pytest.mark.parametrize("cls", EVERY)
def test_a_server_that_did_not_bind_removes_nothing(cls, path):
    left_behind(cls, path)
    with cls(path, handler_for(cls), False):
        pass
    assert os.path.exists(path)


@FORKS
@pytest.mark.parametrize("cls", hosts("UnixStream", "UnixDatagram", kinds=("Forking",)))
def test_a_child_that_ends_does_not_remove_its_parents_path(cls, path):
    with cls(path, handler_for(cls)) as server, running(server):
        for _ in range(2):
            assert is_served(server)
            server.collect_children(blocking=True)
            assert os.path.exists(path)


@FORKS
def test_a_child_that_closes_its_copy_of_the_server_does_not_remove_the_path(path):
    class ClosesItsCopy(Upper):
        def start(self):
            self.server.server_close()
            super().start()

    with ForkingUnixStreamServer(path, ClosesItsCopy) as server, running(server):
        for _ in range(2):
            assert is_served(server)
            assert os.path.exists(path)


@pytest.mark.parametrize("as_given", [str, str.encode])
@pytest.mark.parametrize("cls", EVERY)
def test_an_abstract_address_has_no_path(cls, as_given):
    address = as_given(f"\0reactor-test-{os.getpid()}")
    if not os.path.exists("/proc/net/unix"):
        pytest.skip("abstract addresses are Linux's")
    for _ in range(2):
        with nothing_left(), cls(address, handler_for(cls)) as server, running(server):
            assert is_served(server)


@pytest.mark.parametrize("cls", STREAMS)
def test_many_clients_of_a_unix_server_have_no_names_and_are_told_apart(cls, path):
    with cls(path, Upper) as server, running(server):
        peers = [Peer(path) for _ in range(3)] if cls.__name__ != "UnixStreamServer" else [Peer(path)]
        try:
            for number, peer in enumerate(peers):
                peer.send(b"client %d" % number)
            for number, peer in enumerate(peers):
                assert peer.ask(b"!\n") == b"CLIENT %d!\n" % number
        finally:
            for peer in peers:
                peer.__exit__()


# Permissions


def permissions(path):
    return stat.S_IMODE(os.stat(path).st_mode)


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=oct)
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.mark.parametrize("cls", EVERY)
@pytest.mark.parametrize("mode", [0o600, 0o660, 0o666, 0o777], ids=oct)
def test_the_file_has_the_permissions_that_are_asked_for(cls, mode, path, umask):
    asking = type("Asking", (cls,), {"socket_mode": mode})
    with asking(path, handler_for(cls)) as server, running(server):
        assert permissions(path) == mode
        assert is_served(server)
    assert not os.path.exists(path)


@pytest.mark.parametrize("cls", EVERY)
def test_without_asking_the_umask_decides(cls, path, umask):
    with cls(path, handler_for(cls)):
        assert permissions(path) == 0o777 & ~umask


@pytest.mark.skipif(sys.platform != "linux", reason="other systems make the file first")
@pytest.mark.parametrize("cls", EVERY)
def test_not_for_a_moment_has_it_more(cls, path, monkeypatch):
    def chmod(path, mode):
        found.append(permissions(path))

    found = []
    monkeypatch.setattr(os, "chmod", chmod)
    before = os.umask(0)
    try:
        with type("Asking", (cls,), {"socket_mode": 0o600})(path, handler_for(cls)):
            assert found == [0o600]
    finally:
        os.umask(before)


@pytest.mark.parametrize("cls", EVERY)
@pytest.mark.parametrize(
    ("mode", "error"),
    [("660", TypeError), (True, TypeError), (6.0, TypeError), (-1, ValueError), (0o1777, ValueError)],
)
def test_permissions_that_make_no_sense_are_refused_and_nothing_is_left(cls, mode, error, path):
    with nothing_left(), pytest.raises(error, match="socket_mode"):
        type("Asking", (cls,), {"socket_mode": mode})(path, handler_for(cls))
    assert not os.path.exists(path)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no abstract addresses")
@pytest.mark.parametrize("cls", EVERY)
def test_an_abstract_address_has_no_permissions(cls):
    with nothing_left(), pytest.raises(ValueError, match="abstract"):
        type("Asking", (cls,), {"socket_mode": 0o600})("\0reactor-tests-permissions", handler_for(cls))


@pytest.mark.parametrize("cls", EVERY)
def test_a_server_whose_permissions_cannot_be_set_leaves_no_file(cls, path, monkeypatch):
    def chmod(path, mode):
        raise PermissionError("no")

    monkeypatch.setattr(os, "chmod", chmod)
    with nothing_left(), pytest.raises(PermissionError):
        type("Asking", (cls,), {"socket_mode": 0o600})(path, handler_for(cls))
    assert not os.path.exists(path)
