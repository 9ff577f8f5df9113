"""Proves that draining ends, whatever peers do meanwhile, and that those who were taken are answered."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
import time
from contextlib import ExitStack

import pytest

from tests.abuse.contenders import PROGRAMS
from tests.abuse.lines import sized
from tests.abuse.peer import Peer
from tests.abuse.target import PATIENCE, Target, until

REACTORS = ["reactor_state", "reactor_coroutine"]
EVERY = [*REACTORS, "threading_limits", "forking_limits"]

#: Far beyond what a test takes: what ends before it was not ended by it.
LONG = {"drain_timeout": 100, "request_timeout": 100, "send_timeout": 100}


# Peers that are in no hurry


def never_reads(peer):
    peer.send(b"4000000\n")
    assert peer.socket.recv(1, socket.MSG_PEEK)  # it is being answered


def trickles(peer):
    assert peer.ask(b"one\nh") == b"ONE\n"


def pipelines_for_ever(peer):
    assert peer.ask(b"one\nh") == b"ONE\n"


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("dawdle", [never_reads, trickles, pipelines_for_ever])
def test_draining_ends_within_drain_timeout_whatever_peers_do(name, dawdle):
    over = threading.Event()

    def keep_on(peers):
        """Until the server has gone: a piece every now and then, never a whole."""
        while not over.wait(0.02):
            for peer in peers:
                with contextlib.suppress(OSError):
                    if dawdle is trickles:
                        peer.socket.send(b"x", socket.MSG_DONTWAIT)
                    elif dawdle is pipelines_for_ever:
                        peer.socket.send(b"the end\nthe next\nand ", socket.MSG_DONTWAIT)

    settings = LONG | {"drain_timeout": 0.3}
    with Target(PROGRAMS[name], settings) as target, ExitStack() as stack:
        peers = [stack.enter_context(Peer(target.address, receive_buffer=4096)) for _ in range(5)]
        for peer in peers:
            dawdle(peer)
        thread = threading.Thread(target=keep_on, args=(peers,))
        thread.start()
        stack.callback(thread.join, PATIENCE)
        stack.callback(over.set)
        begin = time.monotonic()
        target.send_signal(signal.SIGTERM)
        assert target.ended() == 1
        assert time.monotonic() - begin >= 0.25
        assert "5 partial requests lost" in target.log() or "5 requests lost" in target.log()
        assert "Traceback" not in target.log()


# At any moment


@pytest.mark.parametrize("name", REACTORS)
def test_in_a_storm_of_newcomers_those_who_were_taken_are_answered(name):
    """Each gets a whole answer or none at all, and it ends well."""
    got = []

    def come_and_go():
        while True:
            try:
                with Peer(target.address) as peer:
                    peer.send(b"3000\n")
                    peer.half_close()
                    got.append(peer.rest())
            except ConnectionRefusedError:
                return
            except OSError:
                got.append(b"")

    with Target(PROGRAMS[name], LONG) as target:
        threads = [threading.Thread(target=come_and_go) for _ in range(8)]
        for thread in threads:
            thread.start()
        until(lambda: len(got) > 100, "nobody is served")
        target.send_signal(signal.SIGTERM)
        assert target.ended() == 0
        for thread in threads:
            thread.join(PATIENCE)
        assert set(got) <= {b"", sized(3000)}
        assert got.count(b"") <= len(threads), "only those who were about to be taken go away empty"
        assert target.log() == ""
