"""Proves that what the kernel does behind the reactor's back hurts nobody who has no part in it:
descriptors closed by somebody else, signals in any number, clocks that jump.
"""

from __future__ import annotations

import signal
import time
from contextlib import ExitStack

import pytest

from reactor import AsyncStreamRequestHandler, Limits, Line, StateRequestHandler
from tests.support.pairs import House
from tests.support.servers import PATIENCE, Peer, ended, program

STYLES = ["States", "Coroutine"]

#: Both styles; a line may ask something of `act`. Its `main` serves, on a port that it prints.
PROGRAM = """
import os, signal, subprocess, sys, threading, time
from reactor import *

def act(handler, line):
    pass

class States(StateRequestHandler):
    def start(self):
        self.expect(Line(), self.answer)

    def answer(self, line):
        if line == b"offload\\n":
            self.offload(time.sleep, 0.001, then=lambda _: self.write(b"OFFLOADED\\n"))
        elif act(self, line) is None:
            self.write(line.upper())

class Coroutine(AsyncStreamRequestHandler):
    async def handle(self):
        async for line in self.rfile:
            if line == b"offload\\n":
                await self.offload(time.sleep, 0.001)
                await self.sleep(0.001)
                self.wfile.write(b"OFFLOADED\\n")
            elif act(self, line) is None:
                self.wfile.write(line.upper())

def main():
    with ReactorTCPServer(("127.0.0.1", 0), globals()[sys.argv[1]]) as server:
        server.drain_on(signal.SIGTERM)
        prepare(server)
        print(server.server_address[1], flush=True)
        server.serve_forever()

def prepare(server):
    pass
"""


def ask_all(peers, *lines):
    for line in lines:
        for peer in peers:
            peer.send(line)
        expected = b"OFFLOADED\n" if line == b"offload\n" else line.upper()
        for peer in peers:
            assert peer.line() == expected


def end(process):
    process.send_signal(signal.SIGTERM)
    return ended(process)


CLOSING = """
def act(handler, line):
    if line == b"request.close\\n":
        handler.request.close()
    elif line == b"os.close\\n":
        os.close(handler.request.fileno())
    elif line == b"detach\\n":
        os.close(handler.request.detach())
    else:
        return None
    return "silent"
"""


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("how", [b"request.close\n", b"os.close\n", b"detach\n"])
def test_a_descriptor_closed_behind_the_reactors_back_costs_its_own_connection(style, how):
    with program(PROGRAM + CLOSING + "main()", style) as process:
        address = "127.0.0.1", int(process.stdout.readline())
        with Peer(address) as bystander, Peer(address) as victim:
            ask_all([bystander, victim], b"before\n")
            victim.send(how)
            assert victim.rest() == b""
            for _ in range(3):  # each gets the descriptor that is free again
                with Peer(address) as newcomer, Peer(address) as another:
                    ask_all([bystander, newcomer, another], b"during\n", b"again\n")
        assert end(process)[0] == 0


FOREIGN = """
def prepare(server):
    ours, theirs = os.pipe()
    server.reactor.register(ours, EVENT_READ, lambda event: None)
    os.close(ours)
"""


@pytest.mark.parametrize("style", STYLES)
def test_a_registered_descriptor_that_its_owner_closed_is_in_nobodys_way(style):
    with program(PROGRAM + FOREIGN + "main()", style) as process:
        address = "127.0.0.1", int(process.stdout.readline())
        for _ in range(3):
            with Peer(address) as peer, Peer(address) as another:
                ask_all([peer, another], b"a line\n", b"again\n")
        assert end(process)[0] == 0


# Signals

ALARMS = """
def prepare(server):
    signal.signal(signal.SIGVTALRM, lambda *args: None)
    signal.signal(signal.SIGALRM, lambda *args: None)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    signal.setitimer(signal.ITIMER_VIRTUAL, 0.001, 0.001)

def no_more():
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
"""


@pytest.mark.parametrize("style", STYLES)
def test_interrupted_calls_lose_nothing(style):
    with program(PROGRAM + ALARMS + "main(); no_more()", style) as process:
        address = "127.0.0.1", int(process.stdout.readline())
        with ExitStack() as stack:
            peers = [stack.enter_context(Peer(address)) for _ in range(20)]
            for n in range(20):
                ask_all(peers, b"a line %d\n" % n, b"offload\n")
                process.send_signal(signal.SIGVTALRM)
        assert end(process) == (0, "", "")


CHILDREN = """
ended = []

def reap():
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        ended.append(pid)

def act(handler, line):
    if line.startswith(b"fork"):
        for _ in range(int(line.split()[1])):
            if not os.fork():
                os._exit(0)
    elif line == b"ended\\n":
        handler.write(b"%d\\n" % len(ended))
        return "answered"

def prepare(server):
    server.reactor.on_signal(signal.SIGCHLD, reap)
"""


@pytest.mark.parametrize("style", STYLES)
def test_a_storm_of_ending_children_loses_no_request_and_no_child(style):
    with program(PROGRAM + CHILDREN + "main()", style) as process:
        address = "127.0.0.1", int(process.stdout.readline())
        with Peer(address) as father, ExitStack() as stack:
            peers = [stack.enter_context(Peer(address)) for _ in range(10)]
            for _ in range(10):
                father.send(b"fork 30\n")
                ask_all(peers, b"meanwhile\n", b"offload\n")
                assert father.line() == b"FORK 30\n"
            deadline = time.monotonic() + PATIENCE
            while (count := int(father.ask(b"ended\n"))) < 300:
                assert time.monotonic() < deadline, f"{count} of 300 children were collected"
                time.sleep(0.01)
            assert count == 300
        assert end(process) == (0, "", "")


FORKING = """
class Files(StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line.upper())

class Server(ForkingTCPServer):
    limits = Limits()
    request_queue_size = 100
    max_children = 20

with Server(("127.0.0.1", 0), Files) as server:
    server.drain_on(signal.SIGTERM)
    signal.signal(signal.SIGCHLD, lambda *args: None)
    print(server.server_address[1], flush=True)
    server.serve_forever(60)
    print("returned", flush=True)
"""


def test_a_forking_server_bears_the_ends_of_its_children_by_the_hundred():
    with program(PROGRAM + FORKING) as process:
        address = "127.0.0.1", int(process.stdout.readline())
        with Peer(address) as bystander:
            for _ in range(20):
                with ExitStack() as stack:
                    peers = [stack.enter_context(Peer(address)) for _ in range(10)]
                    ask_all([bystander, *peers], b"a line\n")
        assert end(process) == (0, "returned\n", "")


# Clocks

JUMPING = """
calls = 0

def jumping():
    global calls
    calls += 1
    return (0, 2**31, 1e9)[calls % 3]

time.time = jumping
time.time_ns = lambda: int(jumping()) * 10**9
"""


@pytest.mark.parametrize("style", STYLES)
def test_nobody_looks_at_the_clock_on_the_wall(style):
    with program(JUMPING.join(["import time\n", PROGRAM]) + "main()", style) as process:
        address = "127.0.0.1", int(process.stdout.readline())
        with Peer(address) as peer, Peer(address) as another:
            for _ in range(20):
                ask_all([peer, another], b"a line\n", b"offload\n")
        assert end(process) == (0, "", "")


class States(StateRequestHandler):
    def start(self):
        self.expect(Line(), self.answer)

    def answer(self, line):
        self.write(line.upper())


class Coroutine(AsyncStreamRequestHandler):
    async def handle(self):
        async for line in self.rfile:
            self.wfile.write(line.upper())


A_NIGHT = 8 * 3600


@pytest.mark.parametrize("handler", [States, Coroutine])
def test_after_a_long_sleep_what_has_come_is_answered_before_deadlines_are_looked_at(handler):
    calls = []
    with House(Limits()) as house:
        _, waiting = house.connect(handler)
        half_done = [house.connect(handler)[1] for _ in range(50)]
        idle = [house.connect(handler)[1] for _ in range(50)]
        for peer in half_done:
            house.ask(peer, b"half a ")
        house.reactor.call_every(60, calls.append, "every")
        house.reactor.call_later(3600, calls.append, "later")
        waiting.send(b"before it slept\n")
        half_done[0].send(b"line\n")
        house.clock.advance(A_NIGHT)
        house.settle()
        assert waiting.read() == b"BEFORE IT SLEPT\n" and not waiting.eof
        assert half_done[0].read() == b"HALF A LINE\n" and not half_done[0].eof
        assert all(peer.read() == b"" and peer.eof for peer in half_done[1:] + idle)
        assert calls == ["every", "later"], "missed calls are skipped, and none is lost"
        assert [line.partition(": ")[2].partition(":")[0] for line in house.lines()] == [
            "request_timeout",
            "idle_timeout",
        ], "one line for each cause"
        assert house.ask(waiting, b"awake\n") == b"AWAKE\n"
        house.advance(60)
        assert calls[2:] == ["every"]
