"""Proves that the classic servers drain on a signal too: nothing new, what is under way finished, 0 or 1."""

import signal
import socket

import pytest

from tests.support.servers import PATIENCE, ended, program

SERVER = """
import signal, sys
from reactor import *

class Server(globals()[sys.argv[1]]):
    limits = Limits(drain_timeout=float(sys.argv[2]))

class Handler(StreamRequestHandler):
    def handle(self):
        self.wfile.write(b"ready\\n")
        self.wfile.write(self.rfile.readline().upper())

with Server(("127.0.0.1", 0), Handler) as server:
    server.drain_on(signal.SIGTERM, signal.SIGINT)
    print(server.server_address[1], flush=True)
    server.serve_forever(60)
    print("returned", flush=True)
"""
EVERY = ["TCPServer", "ThreadingTCPServer", "ForkingTCPServer"]


def connected(port):
    peer = socket.create_connection(("127.0.0.1", port), PATIENCE)
    assert peer.recv(100) == b"ready\n"
    return peer


@pytest.mark.parametrize("cls", EVERY)
def test_a_request_under_way_is_finished_and_the_process_ends_well(cls):
    with program(SERVER, cls, "60") as process:
        port = int(process.stdout.readline())
        with connected(port) as peer:
            process.send_signal(signal.SIGTERM)
            peer.sendall(b"half done\n")
            assert peer.recv(100) == b"HALF DONE\n"
            assert peer.recv(100) == b""
        assert ended(process) == (0, "returned\n", "")


@pytest.mark.parametrize("cls", ["TCPServer", "ForkingTCPServer"])
def test_a_second_signal_ends_it_at_once(cls):
    with program(SERVER, cls, "60") as process:
        with connected(int(process.stdout.readline())):
            process.send_signal(signal.SIGINT)
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE) == 1  # its child, if it has one, goes on
        status, out, err = ended(process)
        assert (status, out) == (1, "")
        assert "draining cut short by a second signal" in err
        assert "Traceback" not in err


def test_what_outlasts_drain_timeout_is_lost_and_counted():
    with program(SERVER, "ForkingTCPServer", "0.2") as process:
        with connected(int(process.stdout.readline())):
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE) == 1
        status, out, err = ended(process)
        assert (status, out) == (1, "")
        assert "draining cut short by drain_timeout: 1 requests lost" in err


def test_draining_an_idle_server_is_over_at_once():
    with program(SERVER, "ThreadingTCPServer", "60") as process:
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert ended(process) == (0, "returned\n", "")
