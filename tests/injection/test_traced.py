"""Proves the same of a process whose system calls really fail: strace answers in the kernel's place."""

from __future__ import annotations

import contextlib
import pathlib
import shutil
import subprocess
import time

import pytest

from tests.injection.invariant import until
from tests.support.servers import PATIENCE, Peer, ended, program

SERVER = """
import logging, sys, threading, time
from reactor import *

class State(StateRequestHandler):
    def start(self):
        self.expect(Line(), self.shout)
    def shout(self, line):
        self.write(line.upper())

class Server(globals()[sys.argv[1]]):
    limits = Limits()

def control():
    sys.stdin.readline()
    deadline = time.monotonic() + 10
    while rows() and time.monotonic() < deadline:
        time.sleep(0.01)
    print(rows(), flush=True)
    server.shutdown()

def rows():
    return len(server.reactor.requests) if isinstance(server, ReactorMixIn) else 0

logging.basicConfig(format="LINE %(message)s", level=logging.WARNING)

with Server(("127.0.0.1", 0), State) as server:
    print(server.server_address[1], flush=True)
    threading.Thread(target=control).start()
    server.serve_forever(60)
"""

#: For each server: its system calls, what they say and when (in strace's words), and whether that may
#: cost a peer.
CASES = {
    "ReactorTCPServer": [
        ("accept4", "EMFILE", "1..3", False),
        ("accept4", "EPROTO", "6", False),
        ("recvfrom", "ENOMEM", "3", True),
        ("sendto", "EPIPE", "2", True),
        ("epoll_ctl", "ENOSPC", "5", True),
        ("setsockopt", "EINVAL", "1+2", False),
        ("shutdown", "ENOTCONN", "1+2", False),
        ("epoll_wait", "EINTR", "1+3", False),
    ],
    "ThreadingTCPServer": [
        ("accept4", "ENFILE", "1..3", False),
        ("accept4", "ECONNABORTED", "6", False),
        ("clone,clone3", "EAGAIN", "1", True),
    ],
    "ForkingTCPServer": [
        ("accept4", "ENOMEM", "1..3", False),
        ("clone,fork,vfork,clone3", "EAGAIN", "1", True),
    ],
}


@contextlib.contextmanager
def traced(pid, faults):
    """Have strace fail calls of a process until the end."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    calls = ",".join(calls for calls, *_ in faults)
    inject = [f"--inject={calls}:error={error}:when={when}" for calls, error, when, _ in faults]
    strace = subprocess.Popen(
        ["strace", "-f", "-qqq", f"--trace={calls}", *inject, "-o", "/dev/null", "-p", str(pid)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        until(lambda: strace.poll() is not None or attached(pid), "strace did not attach", PATIENCE)
        if strace.poll() is not None:
            pytest.skip(f"strace may not trace here: {strace.stderr.read().strip()}")
        yield
    finally:
        strace.terminate()
        strace.communicate(timeout=PATIENCE)


def attached(pid):
    """Whether every thread of a process has a tracer."""
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        if "TracerPid:\t0\n" in (task / "status").read_text():
            return False
    return True


def served(peer):
    try:
        peer.send(b"line\n")
        return peer.line() == b"LINE\n"
    except ConnectionError:
        return False


def used(pid):
    """Processor time of a process so far, in clock ticks."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


@pytest.mark.parametrize("name", CASES)
def test_a_process_survives(name):
    faults = CASES[name]
    with program(SERVER, name) as process, contextlib.ExitStack() as stack:
        address = ("127.0.0.1", int(process.stdout.readline()))
        staying = [stack.enter_context(Peer(address)) for _ in range(2)]
        assert all(map(served, staying))
        with traced(process.pid, faults):
            answers = [served(peer) for peer in staying]
            for _ in range(8):
                with Peer(address) as peer:
                    answers.append(served(peer))
            assert 0 < answers.count(False) <= sum(costs for *_, costs in faults)
            until(lambda: rests(process.pid), "it does not rest", PATIENCE)
        with Peer(address) as peer:
            assert served(peer)
        stack.close()
        process.stdin.write("\n")
        status, out, err = ended(process)
        assert (status, out) == (0, "0\n")
        assert err.count("LINE") <= len(faults), err


def rests(pid):
    """Whether a process uses next to nothing for a while in which nobody talks to it."""
    ticks = used(pid)
    time.sleep(0.05)
    return used(pid) - ticks <= 0
