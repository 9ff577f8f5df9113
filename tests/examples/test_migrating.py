"""Proves that the programs in docs/migrating.md run as they stand, but for the ports, and talk alike."""

import os
import re
import signal
import socket
import sys
import threading
import time
from pathlib import Path

import pytest

from reactor import compat
from reactor.compat import asyncore

DOCUMENT = (Path(__file__).parents[2] / "docs/migrating.md").read_text(encoding="utf-8")
PATIENCE = 20.0

OLD, BESIDE, NEW = (
    re.sub(r"\b5639\b|\b5640\b", "0", each) for each in re.findall(r"```python\n(.*?)```", DOCUMENT, re.S)
)
DIFFERENCE = re.findall(r"```diff\n(.*?)```", DOCUMENT, re.S)[0]

#: Said and answered, in order, after the greeting.
CONVERSATION = [
    (b"LOGIN ann tulip\n", b"hello\n"),
    (b"GET bread\n", b"what?\n"),
    (b"PUT bread 6\nru", b""),
    (b"sty\nGET bread\n", b"kept\n6\nrusty\n"),
    (b"PUT bread 0\nPUT bread -1\nPUT bread 999999\n", b"what?\n" * 3),
    (b"QUIT\n", b""),
]


def changed(program):
    """*program* with the difference applied that the document shows."""
    lines = DIFFERENCE.splitlines()
    before = "".join(f"{line[1:]}\n" for line in lines if line[0] == "-")
    after = "".join(f"{line[1:]}\n" for line in lines if line[0] == "+")
    assert program.count(before) == 1
    return program.replace(before, after)


@pytest.fixture
def modules(monkeypatch):
    """An interpreter that knows neither module, and a map of our own for whoever asks for the common one."""
    for name in ("asyncore", "asynchat", "shelf"):
        monkeypatch.setitem(sys.modules, name, None)  # so that it is put back, whatever comes
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(asyncore, "socket_map", {})
    return monkeypatch


def talk(port):
    """Have the whole conversation, and one that is refused, with a client each."""
    with connected(port) as peer, peer.makefile("rb") as answers:
        assert answers.readline() == b"who are you?\n"
        for said, answer in CONVERSATION:
            peer.sendall(said)
            assert answers.read(len(answer)) == answer, said
        assert answers.read() == b""
    with connected(port) as peer, peer.makefile("rb") as answers:
        peer.sendall(b"LOGIN ann rose\n")
        assert answers.read() == b"who are you?\nno\n"


def connected(port):
    return socket.create_connection(("127.0.0.1", port), PATIENCE)


def serve(program, client, *, end):
    """Run *program* in the main thread, as its reader does; *client* is another one, which *end*s it."""
    scope = {"__name__": "__main__"}
    over = threading.Event()
    failures = []

    def run():
        wait_for(lambda: over.is_set() or "listener" in scope or "server" in scope)
        if over.is_set():
            return  # it has failed by itself
        try:
            client(scope)
        except BaseException as exc:
            failures.append(exc)
        finally:
            if not over.is_set():
                end(scope)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        exec(compile(program, "docs/migrating.md", "exec"), scope)
    finally:
        over.set()
        thread.join(PATIENCE)
        if failures:
            raise failures[0]


def wait_for(true):
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def port_of(channel):
    """That of a listener which another thread is about to bind."""
    wait_for(lambda: channel.accepting)
    return channel.socket.getsockname()[1]


def serve_old(program, talk=talk):
    """A program that ends in ``asyncore.loop()``, of any kind: a handler that raises ExitNow ends it.
    Returns the module that it ran on."""
    loops = []

    def leave(self, data):
        raise loops[0].ExitNow

    def end(scope):
        loops.append(scope["asyncore"])
        scope["Shelf"].collect_incoming_data = leave
        with connected(port_of(scope["listener"])) as peer:
            peer.sendall(b"the end\n")
            peer.recv(100)

    try:
        serve(program, lambda scope: talk(port_of(scope["listener"])), end=end)
    except Exception as exc:
        if not loops or not isinstance(exc, loops[0].ExitNow):
            raise
    finally:
        for loop in loops:
            loop.close_all(ignore_all=True)
    return loops[0]


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="Python 3.12 has none")
@pytest.mark.filterwarnings("ignore:The asyn:DeprecationWarning")
def test_as_it_was_on_the_interpreters_own(modules):
    assert serve_old(OLD) is not asyncore


def test_as_it_was(modules):
    compat.install(replace=True)
    assert serve_old(OLD) is asyncore


def test_one_import_changed(modules):
    assert serve_old(changed(OLD)) is asyncore
    assert "asyncore" not in sys.modules


def test_side_by_side(modules, tmp_path):
    (tmp_path / "shelf.py").write_text(changed(OLD), encoding="utf-8")
    modules.syspath_prepend(tmp_path)

    def client(scope):
        wait_for(lambda: "server" in scope)
        talk(port_of(scope["listener"]))
        with connected(scope["server"].server_address[1]) as peer, peer.makefile("rb") as answers:
            peer.sendall(b"what is there?\n")
            assert answers.readline() == b"bread\n"

    serve(BESIDE, client, end=lambda scope: os.kill(os.getpid(), signal.SIGTERM))
    assert not asyncore.socket_map


def test_moved_over():
    def client(scope):
        wait_for(lambda: scope["server"].fileno())
        talk(scope["server"].server_address[1])

    serve(NEW, client, end=lambda scope: scope["server"].shutdown())
