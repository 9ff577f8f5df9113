"""Proves that the classic servers drain on a signal too: nothing new, what is under way finished, 0 or 1."""

import logging
import math
import os
import signal
import socket
import subprocess
import threading
from contextlib import ExitStack

import pytest

from reactor import BaseRequestHandler, ForkingTCPServer, Limits, ThreadingTCPServer, forking, lifecycle
from tests.support.servers import (
    FOREVER,
    FORKS,
    PATIENCE,
    Channel,
    Thread,
    await_threads,
    ended,
    hosts,
    made,
    nothing_left,
    program,
)
from tests.support.servers import connected as client_of

SERVER = """
import signal, sys
from reactor import *

class Server(globals()[sys.argv[1]]):
    limits = Limits(drain_timeout=float(sys.argv[2]))

class Handler(StreamRequestHandler):
    def handle(self):
        self.wfile.write(b"ready\\n")
        if begun := self.rfile.read(4):
            print("begun", flush=True)
            self.wfile.write((begun + self.rfile.readline()).upper())

with Server(("127.0.0.1", 0), Handler) as server:
    server.drain_on(signal.SIGTERM, signal.SIGINT)
    print(server.server_address[1], flush=True)
    server.serve_forever(60)
    print("returned", flush=True)
"""
EVERY = ["TCPServer", "ThreadingTCPServer", "ForkingTCPServer"]


def connected(process):
    peer = socket.create_connection(("127.0.0.1", int(process.stdout.readline())), PATIENCE)
    assert peer.recv(100) == b"ready\n"
    return peer


def begin(process, peer):
    peer.sendall(b"half")
    assert process.stdout.readline() == "begun\n"


@pytest.mark.parametrize("cls", EVERY)
def test_a_request_under_way_is_finished_and_the_process_ends_well(cls):
    with program(SERVER, cls, "60") as process:
        with connected(process) as peer:
            begin(process, peer)
            process.send_signal(signal.SIGTERM)
            peer.sendall(b" done\n")
            assert peer.recv(100) == b"HALF DONE\n"
            assert peer.recv(100) == b""
        assert ended(process) == (0, "returned\n", "")


@pytest.mark.parametrize("cls", EVERY)
def test_an_idle_connection_does_not_keep_the_process_alive(cls):
    with program(SERVER, cls, "60") as process, connected(process) as peer:
        process.send_signal(signal.SIGTERM)
        assert ended(process) == (0, "returned\n", "")
        assert peer.recv(100) == b""


@pytest.mark.parametrize("cls", EVERY)
def test_a_second_signal_ends_the_process_at_once(cls):
    with program(SERVER, cls, "60") as process, connected(process) as peer:
        begin(process, peer)
        process.send_signal(signal.SIGINT)
        insist(process, signal.SIGTERM)
        assert ended(process) == (1, "", "draining cut short by a second signal: 1 requests lost\n")


def insist(process, signum):
    """A signal that comes just before the program waits is not noticed before the next one."""
    for _ in range(5):
        process.send_signal(signum)
        try:
            process.wait(PATIENCE / 5)
            return
        except subprocess.TimeoutExpired:
            pass


@pytest.mark.parametrize("cls", EVERY)
def test_what_outlasts_drain_timeout_is_lost_and_counted_and_the_process_ends(cls):
    with program(SERVER, cls, "0.2") as process, connected(process) as peer:
        begin(process, peer)
        process.send_signal(signal.SIGTERM)
        assert ended(process) == (1, "", "draining cut short by drain_timeout: 1 requests lost\n")


def test_draining_an_idle_server_is_over_at_once():
    with program(SERVER, "ThreadingTCPServer", "60") as process:
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert ended(process) == (0, "returned\n", "")


# In this process: what serve_forever and server_close wait for

CONCURRENT = hosts("TCP", "UnixStream", kinds=("Threading", "Forking"))


class Held(BaseRequestHandler):
    """Says which process it is in, and waits for a word."""

    def handle(self):
        self.server.arrivals.say(str(os.getpid()))
        self.server.way_out.hear()
        self.server.arrivals.say("handled")


class Draining:
    """A server with requests under way that is told to drain, by *signums*, while it serves here."""

    def __init__(self, stack, cls, limits, requests=1, signums=(signal.SIGUSR1,)):
        self._stack = stack
        self._signums = signums
        self._requests = requests
        self.children = set()
        self.returned = threading.Event()
        self.arrivals, self.way_out = (stack.enter_context(Channel()) for _ in range(2))
        threads = set(threading.enumerate())
        stack.enter_context(nothing_left())
        stack.callback(await_threads, threads)
        stack.callback(self._collect)
        attributes = {"limits": limits, "arrivals": self.arrivals, "way_out": self.way_out}
        self.server = stack.enter_context(made(cls, Held, **attributes))
        stack.callback(self.let_out)
        self.server.drain_on(*signums)

    def serve(self, before=lambda: None, then=lambda: None):
        """Call *before* and *then* in another thread, before and after the signals are sent."""
        thread = Thread(self._fill_and_signal, before, then)
        try:
            self.server.serve_forever(FOREVER)
        finally:
            self.returned.set()
            thread.finish()

    def _fill_and_signal(self, before, then):
        peers = [self._stack.enter_context(client_of(self.server)) for _ in range(self._requests)]
        self.children = {int(self.arrivals.hear()) for _ in peers} - {os.getpid()}
        before()
        for signum in self._signums:
            os.kill(os.getpid(), signum)
        then()

    def let_out(self):
        for _ in range(self._requests):
            self.way_out.say("go")

    def end_children(self):
        """Without collecting them."""
        self.let_out()
        for child in self.children:
            os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)

    def _collect(self):
        for child in self.children:
            try:
                os.waitpid(child, 0)
            except ChildProcessError:
                pass  # the server has done that


@pytest.mark.parametrize("cls", CONCURRENT)
@pytest.mark.parametrize("limits", [None, Limits(), Limits(drain_timeout=None)])
def test_serving_ends_when_the_last_request_has(cls, limits, caplog):
    def wait_in_vain():
        assert not draining.returned.wait(0.05)
        draining.let_out()

    with ExitStack() as stack:
        draining = Draining(stack, cls, limits, requests=2)
        draining.serve(then=wait_in_vain)
        assert draining.arrivals.everything() == ["handled"] * 2
    assert caplog.records == []


@FORKS
def test_while_children_run_their_parent_sleeps_between_its_looks(monkeypatch):
    def sleep(seconds):
        naps.append(seconds)
        if len(naps) == 3:
            draining.end_children()

    naps = []
    monkeypatch.setattr(forking, "sleep", sleep)
    with ExitStack() as stack:
        draining = Draining(stack, ForkingTCPServer, Limits(drain_timeout=PATIENCE))
        draining.serve()
    assert naps == [forking.CHILD_POLL] * 3


def test_while_threads_run_their_server_waits_for_one_between_its_looks():
    class Working:
        def is_alive(self):
            looks.append(self)
            assert len(looks) <= 10, "it spins"
            return len(naps) < 3

        def join(self, timeout):
            naps.append(timeout)

    looks, naps = [], []
    with made(ThreadingTCPServer, Held) as server:
        server._running = {Working()}
        server._lifecycle.drain_until = math.inf
        server._finish_requests()
    assert naps == [lifecycle.SIGNAL_POLL] * 3


@FORKS
def test_for_children_that_have_ended_it_does_not_sleep(monkeypatch):
    naps = []
    monkeypatch.setattr(forking, "sleep", naps.append)
    with ExitStack() as stack:
        draining = Draining(stack, ForkingTCPServer, Limits())
        draining.serve(before=draining.end_children)
    assert naps == []


@pytest.mark.parametrize("cls", CONCURRENT)
def test_requests_that_outlast_drain_timeout_are_counted_and_closing_does_not_wait_for_them(cls, caplog):
    with ExitStack() as stack:
        draining = Draining(stack, cls, Limits(drain_timeout=0.05), requests=2)
        with pytest.raises(SystemExit) as raised:
            draining.serve()
        assert raised.value.code == 1
        Thread(draining.server.server_close).finish()
        assert draining.arrivals.silent()
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.WARNING, "draining cut short by drain_timeout: 2 requests lost")
    ]


@pytest.mark.parametrize("cls", CONCURRENT)
def test_after_a_second_signal_neither_serving_nor_closing_waits_for_anything(cls, caplog):
    with ExitStack() as stack:
        draining = Draining(stack, cls, Limits(), signums=(signal.SIGUSR1, signal.SIGUSR2))
        with pytest.raises(SystemExit) as raised:
            draining.serve()
        assert raised.value.code == 1
        Thread(draining.server.server_close).finish()
        assert draining.arrivals.silent()
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.WARNING, "draining cut short by a second signal: 1 requests lost")
    ]
