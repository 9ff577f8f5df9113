"""Proves that addresses are checked, and that a Unix path is taken and given back with care."""

from __future__ import annotations

import errno
import os
import pathlib
import socket

import pytest

from reactor.net import (
    PEER_GONE,
    check_address,
    claim_unix_path,
    families_of,
    host_of,
    is_ready,
    no_delay,
    peer_is_gone,
    release_unix_path,
    unix_path_identity,
)

INET, INET6 = socket.AF_INET, socket.AF_INET6
UNIX = getattr(socket, "AF_UNIX", None)
needs_unix = pytest.mark.skipif(UNIX is None, reason="no Unix sockets on this system")
KINDS = [socket.SOCK_STREAM, socket.SOCK_DGRAM]


# Addresses


@pytest.mark.parametrize(
    ("family", "address"),
    [
        (INET, ("", 0)),
        (INET, ("localhost", 5639)),
        (INET, (b"localhost", 5639)),
        (INET, (bytearray(b"localhost"), 5639)),
        (INET, ("localhost", 99999)),  # the system's own OverflowError comes with bind
        (INET6, ("::1", 5639)),
        (INET6, ("::1", 5639, 0)),
        (INET6, ("::1", 5639, 0, 1)),
        pytest.param(UNIX, "/run/x", marks=needs_unix),
        pytest.param(UNIX, b"/run/x", marks=needs_unix),
        pytest.param(UNIX, "\0abstract", marks=needs_unix),
        pytest.param(UNIX, "", marks=needs_unix),
        (getattr(socket, "AF_VSOCK", -1), (2, 5639)),
    ],
)
def test_an_address_of_the_right_shape_is_taken(family, address):
    assert check_address(family, address) is None


@pytest.mark.parametrize(
    ("family", "address", "words"),
    [
        (INET, "localhost:5639", r"AF_INET socket is a tuple \(host, port\), not 'localhost:5639'"),
        (INET, ["localhost", 5639], "tuple"),
        (INET, ("localhost",), "tuple"),
        (INET, ("localhost", "5639"), "'5639'"),
        (INET, ("localhost", 5639.0), "tuple"),
        (INET, (None, 5639), "None"),
        (INET, (5639, "localhost"), "tuple"),
        (INET, ("::1", 5639, 0, 0), "AF_INET "),
        (INET, None, "None"),
        (INET, 5639, "5639"),
        (INET6, "::1", "AF_INET6 socket is a tuple"),
        (INET6, ("::1", 5639, 0, 0, 0), "AF_INET6"),
        pytest.param(UNIX, ("/run/x", 0), "AF_UNIX socket is a path", marks=needs_unix),
        pytest.param(UNIX, 5639, "path", marks=needs_unix),
        pytest.param(UNIX, None, "path", marks=needs_unix),
    ],
)
def test_an_address_of_the_wrong_shape_is_refused_in_words_that_say_what_to_write(family, address, words):
    with pytest.raises(TypeError, match=words):
        check_address(family, address)


@needs_unix
def test_the_family_to_connect_with_is_told_by_the_address():
    assert families_of(("localhost", 1)) == families_of(("::1", 1, 0, 0)) == socket.AF_UNSPEC
    assert families_of("/run/x") == families_of(b"/run/x") == socket.AF_UNIX
    for wrong in (5639, None, ["localhost", 1], ("localhost", "1"), ("localhost",)):
        with pytest.raises(TypeError, match="address"):
            families_of(wrong)


@pytest.mark.parametrize(
    ("peer", "host"),
    [
        (("192.0.2.1", 5), "192.0.2.1"),
        (("::1", 5, 0, 0), "::1"),
        ("", None),
        ("/run/x", None),
        (None, None),
        (b"", None),
    ],
)
def test_connections_are_counted_by_host_where_there_is_one(peer, host):
    assert host_of(peer) == host


def test_no_delay_is_set_where_there_is_a_delay_and_is_no_trouble_elsewhere():
    with socket.socket(INET) as tcp, socket.socket(INET, socket.SOCK_DGRAM) as udp:
        no_delay(tcp)
        assert tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        no_delay(udp)
    for end in socket.socketpair():
        no_delay(end)
        end.close()


def test_a_peer_that_is_gone_is_told_from_our_own_mistakes():
    assert {errno.EPIPE, errno.ECONNRESET, errno.ETIMEDOUT, errno.ENOTCONN} <= PEER_GONE
    assert not PEER_GONE & {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}, "others will give back"
    assert not PEER_GONE & {errno.EAGAIN, errno.EBADF, errno.EINVAL}, "these are our own mistakes, or none"


# Waiting for one socket


def test_a_socket_is_ready_when_it_can_be_read_or_written():
    near, far = socket.socketpair()
    with near, far:
        assert not is_ready(near, 0, writing=False)
        assert is_ready(near, 0, writing=True)
        far.send(b"x")
        assert is_ready(near, 0, writing=False)
        near.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                near.send(bytes(65536))
        assert not is_ready(near, 0, writing=True)


def test_a_wait_may_be_for_ever_for_all_that_anybody_sees():
    near, far = socket.socketpair()
    with near, far:
        far.send(b"x")
        assert is_ready(near, float("inf"), writing=False)


@pytest.mark.parametrize("what", ["closed", "no socket"])
def test_what_cannot_be_waited_for_is_left_to_the_operation(what):
    if what == "closed":
        near, far = socket.socketpair()
        near.close()
        far.close()
    else:
        near = object()
    assert is_ready(near, 0, writing=False) and is_ready(near, 0, writing=True)


def test_bytes_that_are_decrypted_already_need_no_wait():
    class Decrypted(socket.socket):
        def pending(self):
            return 3

    near, far = socket.socketpair()
    with far, Decrypted(fileno=near.detach()) as tls:
        assert is_ready(tls, 0, writing=False)


@pytest.mark.parametrize("family", [INET, pytest.param(UNIX, marks=needs_unix)], ids=["TCP", "Unix"])
def test_a_peer_is_gone_when_both_directions_are_over_or_broken(family):
    with socket.socket(family) as listener:
        listener.bind(("127.0.0.1", 0) if family == INET else "")
        listener.listen()
        with socket.socket(family) as far:
            far.connect(listener.getsockname())
            near, _ = listener.accept()
            assert not peer_is_gone(near)
            far.shutdown(socket.SHUT_WR)
            assert not peer_is_gone(near)
        with pytest.raises(ConnectionError):
            while True:
                near.send(bytes(65536))
        assert peer_is_gone(near)
        near.close()
        assert peer_is_gone(near)
    assert not peer_is_gone((b"a datagram", None))


# Unix paths


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "s")


def bound(path, kind=socket.SOCK_STREAM):
    sock = socket.socket(socket.AF_UNIX, kind)
    try:
        sock.bind(path)
    except OSError:
        sock.close()
        raise
    if kind == socket.SOCK_STREAM:
        sock.listen(1)
    return sock


@needs_unix
@pytest.mark.parametrize("as_type", [str, os.fsencode], ids=["str", "bytes"])
@pytest.mark.parametrize("kind", KINDS, ids=["stream", "datagram"])
def test_a_path_left_by_a_dead_server_is_claimed(path, kind, as_type):
    bound(path, kind).close()
    claim_unix_path(as_type(path), kind)
    assert not os.path.lexists(path)
    bound(path, kind).close()


@needs_unix
@pytest.mark.parametrize("kind", KINDS, ids=["stream", "datagram"])
@pytest.mark.parametrize("of", KINDS, ids=["of-stream", "of-datagram"])
def test_a_path_that_somebody_has_is_left_alone(path, kind, of):
    with bound(path, of):
        claim_unix_path(path, kind)
        assert os.path.lexists(path)
        with pytest.raises(OSError, match="in use"):
            bound(path, kind)


@needs_unix
def test_a_server_too_busy_to_answer_is_not_taken_for_a_dead_one(path):
    with bound(path) as busy:
        waiting = []
        busy.listen(0)
        try:
            while True:  # fill its backlog
                waiting.append(socket.socket(socket.AF_UNIX))
                waiting[-1].setblocking(False)
                waiting[-1].connect(path)
        except BlockingIOError:
            pass
        claim_unix_path(path, socket.SOCK_STREAM)
        assert os.path.lexists(path)
        for sock in waiting:
            sock.close()


@needs_unix
def test_what_is_no_socket_is_never_removed(path):
    pathlib.Path(path).write_text("somebody's diary")
    claim_unix_path(path, socket.SOCK_STREAM)
    assert pathlib.Path(path).read_text() == "somebody's diary"
    os.mkdir(path + "d")
    claim_unix_path(path + "d", socket.SOCK_STREAM)
    assert os.path.isdir(path + "d")


@needs_unix
@pytest.mark.parametrize("nothing", ["", "\0abstract", b"", b"\0abstract", "/nowhere/at/all"])
def test_there_is_nothing_to_claim_or_release_at_such_a_path(nothing):
    claim_unix_path(nothing, socket.SOCK_STREAM)
    identity = unix_path_identity(nothing)
    assert identity is None
    release_unix_path(nothing, identity)


@needs_unix
def test_our_own_path_is_released(path):
    with bound(path):
        release_unix_path(path, unix_path_identity(path))
    assert not os.path.lexists(path)


@needs_unix
def test_a_path_that_another_server_took_over_is_left_to_it(path):
    with bound(path):
        ours = unix_path_identity(path)
        os.rename(path, path + ".old")  # kept, so that its inode number is not given away again
        with bound(path):
            release_unix_path(path, ours)
            assert os.path.lexists(path)


@needs_unix
def test_a_path_is_not_ours_for_having_our_inode_number(path):
    with bound(path):
        ours = unix_path_identity(path)
        os.utime(path, ns=(0, 0))  # as of a file of another time, to which the number was given
        release_unix_path(path, ours)
        assert os.path.lexists(path)


@needs_unix
def test_our_own_path_stays_ours_whatever_its_permissions_are_and_whoever_connects(path):
    with bound(path):
        ours = unix_path_identity(path)
        os.chmod(path, 0o600)
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(path)
        release_unix_path(path, ours)
    assert not os.path.lexists(path)


@needs_unix
def test_a_path_that_was_never_ours_is_not_released(path):
    with bound(path):
        release_unix_path(path, None)
        assert os.path.lexists(path)


@needs_unix
def test_releasing_what_is_gone_already_is_no_trouble(path):
    with bound(path):
        identity = unix_path_identity(path)
        os.unlink(path)
        release_unix_path(path, identity)
    assert not os.path.lexists(path)
