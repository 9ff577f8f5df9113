"""Proves that a descriptor closed behind the reactor's back costs its owner and nobody else."""

import errno
import os
import select
import selectors
import socket

import pytest

from reactor import EVENT_READ, EVENT_WRITE, EventHandler, Reactor
from reactor.events import DescriptorLost

KINDS = ["PollSelector", "SelectSelector", "EpollSelector", "KqueueSelector"]
SELECTORS = [getattr(selectors, name) for name in KINDS if hasattr(selectors, name)]
#: Selectors of a kernel that forgets what is closed; the others can't tell one socket from the next.
KERNELS = [cls for cls in SELECTORS if cls.__name__ in ("EpollSelector", "KqueueSelector")]


class Owner(EventHandler):
    """Remembers what it is told."""

    def __init__(self, sock):
        self.socket = sock
        self.lost = []
        self.reads = 0

    def fileno(self):
        return self.socket.fileno()

    def handle_read(self):
        self.reads += 1

    def handle_exception(self, exc):
        self.lost.append(exc)

    def close(self):
        """It has nothing left."""


def close(sock):
    sock.close()


def detach(sock):
    os.close(sock.detach())


def close_number(sock):
    """The socket object knows nothing of it."""
    os.close(sock.fileno())


@pytest.fixture(params=SELECTORS, ids=lambda cls: cls.__name__)
def reactor(request):
    with Reactor(request.param()) as reactor:
        yield reactor


@pytest.fixture
def pairs():
    """Makes pairs of sockets; closed at the end unless somebody has done that."""
    made = []

    def pair():
        made.extend(socket.socketpair())
        return made[-2:]

    yield pair
    for sock in made:
        try:
            sock.close()
        except OSError:
            pass


def newcomer(number, pairs):
    """A socket, readable, with this number and no other; its peer."""
    ours, theirs = pairs()
    if ours.fileno() != number:
        ours, theirs = theirs, ours
    assert ours.fileno() == number, "the lowest free number is given out"
    theirs.send(b"x")
    return ours


@pytest.mark.parametrize("how", [close, detach, close_number])
@pytest.mark.parametrize("offered", [True, False])
def test_the_next_owner_of_the_number_is_served_and_the_former_one_told_once(how, offered, reactor, pairs):
    if how is close_number and not isinstance(reactor._selector, tuple(KERNELS)):
        pytest.skip("only a kernel's own selector can tell")
    sock, _ = pairs()
    number = sock.fileno()
    former = Owner(sock)
    reactor.register(former if offered else sock, EVENT_READ, None if offered else former)
    how(sock)
    ours = newcomer(number, pairs)
    latter = Owner(ours)
    reactor.register(ours, EVENT_READ, latter)
    sock.detach()  # or its end would be the newcomer's
    assert [type(exc) for exc in former.lost] == [DescriptorLost]
    assert str(number) in str(former.lost[0])
    reactor.handle_events(0)
    reactor.handle_events(0)
    assert (former.reads, latter.reads) == (0, 2)
    assert len(former.lost) == 1


def test_a_descriptor_whose_callback_is_lost_is_logged_and_leaves_the_newcomer_alone(reactor, pairs, caplog):
    sock, _ = pairs()
    number = sock.fileno()
    reactor.register(sock, EVENT_READ, print)
    sock.close()
    latter = Owner(newcomer(number, pairs))
    reactor.register(latter)
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "behind the reactor's back" in caplog.text and "print" in caplog.text
    reactor.handle_events(0)
    assert latter.reads == 1


@pytest.mark.parametrize("events", [EVENT_READ, EVENT_WRITE, EVENT_READ | EVENT_WRITE])
def test_what_is_there_still_is_not_taken_for_lost(events, reactor, pairs):
    sock, peer = pairs()
    first = Owner(sock)
    key = reactor.register(sock, events, first)
    for again in (sock, sock.fileno()):
        with pytest.raises(KeyError, match="registered already"):
            reactor.register(again, EVENT_READ, print)
    assert reactor._selector.get_key(sock) == key
    assert first.lost == []
    peer.send(b"x")
    reactor.handle_events(0)
    assert first.reads == bool(events & EVENT_READ)


class ShortOfMemory:
    """An `epoll` object whose calls fail as often as they are told, and then change nothing."""

    def __init__(self, epoll):
        self.epoll = epoll
        self.failures = {}

    def __getattr__(self, name):
        failures = self.failures.get(name)
        if failures:
            code = failures.pop(0)
            if code:
                raise OSError(code, "injected")
        return getattr(self.epoll, name)


@pytest.mark.skipif(not hasattr(selectors, "EpollSelector"), reason="no epoll here")
@pytest.mark.parametrize("code", [errno.ENOMEM, errno.ENOSPC, errno.EINTR])
@pytest.mark.parametrize("which", ["the first", "the second"])
def test_what_cannot_be_looked_at_for_want_of_memory_is_not_taken_for_lost(which, code, pairs):
    selector = selectors.EpollSelector()
    selector._selector = epoll = ShortOfMemory(selector._selector)
    sock, peer = pairs()
    owner = Owner(sock)
    with Reactor(selector) as reactor:
        key = reactor.register(owner)
        epoll.failures["modify"] = [code] if which == "the first" else [0, code]
        with pytest.raises(KeyError, match="registered already"):
            reactor.register(sock, EVENT_READ, print)
        assert (owner.lost, selector.get_key(sock)) == ([], key)
        assert reactor.handle_events(0) == 0
        peer.send(b"x")
        reactor.handle_events(0)
        assert owner.reads == 1


@pytest.mark.skipif(not hasattr(selectors, "EpollSelector"), reason="no epoll here")
def test_if_it_cannot_be_watched_any_more_its_owner_is_told(pairs):
    selector = selectors.EpollSelector()
    selector._selector = epoll = ShortOfMemory(selector._selector)
    sock, peer = pairs()
    owner = Owner(sock)
    with Reactor(selector) as reactor:
        reactor.register(owner)
        epoll.failures = {"modify": [errno.ENOMEM], "register": [errno.ENOMEM]}
        with pytest.raises(KeyError):
            reactor.register(sock, EVENT_READ, print)
        assert [(type(exc), exc.errno) for exc in owner.lost] == [(OSError, errno.ENOMEM)]
        peer.send(b"x")
        assert (reactor.handle_events(0), owner.reads, reactor.registered(sock)) == (0, 0, False)


class Failing(selectors.SelectSelector):
    """Cannot wait, as often as it is told."""

    def __init__(self, *failures):
        super().__init__()
        self.failures = list(failures)

    def select(self, timeout=None):
        if self.failures:
            raise self.failures.pop(0)
        return super().select(timeout)


def test_a_selector_that_fails_ends_nothing_and_is_a_line_a_second(pairs, caplog):
    sock, peer = pairs()
    owner = Owner(sock)
    with Reactor(Failing(OSError(12, "out of memory"), OSError(22, "no"), OSError(9, "bad"))) as reactor:
        reactor.register(owner)
        peer.send(b"x")
        for _ in range(3):
            assert reactor.handle_events(0) == 0
        assert owner.reads == 0
        assert reactor.handle_events(0) == 1
        assert (owner.reads, owner.lost) == (1, [])
    assert len(caplog.records) == 1 and "out of memory" in caplog.text


def test_it_rests_before_it_waits_again(monkeypatch):
    naps = []
    monkeypatch.setattr("reactor.loop.time.sleep", naps.append)
    with Reactor(Failing(OSError(12, "out of memory"), OSError(12, "out of memory"))) as reactor:
        reactor.handle_events(60)
        reactor.handle_events(0.01)
    assert naps == [0.1, 0.01]


@pytest.mark.skipif(not hasattr(select, "select"), reason="no select here")
@pytest.mark.parametrize("how", [close, close_number])
@pytest.mark.parametrize("by_number", [True, False])
def test_select_goes_on_without_what_was_closed(by_number, how, pairs):
    gone, _ = pairs()
    sock, peer = pairs()
    former, owner = Owner(gone), Owner(sock)
    with Reactor(selectors.SelectSelector()) as reactor:
        reactor.register(gone.fileno() if by_number else gone, EVENT_READ, former)
        reactor.register(owner)
        how(gone)
        peer.send(b"x")
        reactor.handle_events(0)
        reactor.handle_events(0)
        assert owner.reads == 1
        assert [type(exc) for exc in former.lost] == [DescriptorLost]
    gone.detach()  # or its end would be somebody else's
