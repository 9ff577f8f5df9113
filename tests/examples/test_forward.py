"""The forwarder: every byte, both ends of input, back-pressure, and what becomes of lost connections."""

import hashlib
import http.server
import random
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from reactor import Limits, Reactor
from tests.examples.processes import EXAMPLES, PATIENCE, Example, receive_to_end, run, wait_until
from tests.support.clock import ManualClock

MIB = 1 << 20
BUFFER = 262144  # of one recv, of a peer that fills it
#: What cannot be mistaken for something else when bytes are lost, doubled or out of order.
NOISE = random.Random(5639).randbytes(MIB)


@pytest.fixture
def upstream() -> Iterator[socket.socket]:
    """Where the forwarder forwards to."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        yield listener


@pytest.fixture
def forwarder(upstream: socket.socket) -> Iterator[Example]:
    with forwarder_to(upstream.getsockname()[1]) as server:
        yield server


def forwarder_to(port: int, host: str = "127.0.0.1") -> Example:
    return Example("forward", "0", f"{host}:{port}")


def accept(listener: socket.socket) -> socket.socket:
    peer, _ = listener.accept()
    peer.settimeout(PATIENCE)
    return peer


def reset(peer: socket.socket) -> None:
    """Drop the connection, so that the other end hears of a reset and not of an end."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


class TestBytes:
    def test_both_ways_at_once_with_slow_readers(self, forwarder: Example, upstream: socket.socket) -> None:
        """16 MiB each way, checked by hash; what is on its way stays in the kernel's buffers."""
        amount = 16

        def send(peer: socket.socket) -> None:
            for _ in range(amount):
                peer.sendall(NOISE)
            peer.shutdown(socket.SHUT_WR)

        def receive(peer: socket.socket, into: "list[str]") -> None:
            seen = hashlib.sha256()
            while data := peer.recv(3000):
                seen.update(data)
            into.append(seen.hexdigest())

        before = memory_peak(forwarder.process.pid)
        with forwarder.connect() as client, accept(upstream) as server:
            digests: list[str] = []
            work = [
                threading.Thread(target=target, args=args)
                for target, args in (
                    (send, (client,)),
                    (send, (server,)),
                    (receive, (client, digests)),
                    (receive, (server, digests)),
                )
            ]
            for each in work:
                each.start()
            for each in work:
                each.join()
        assert digests == [hashlib.sha256(NOISE * amount).hexdigest()] * 2
        assert memory_peak(forwarder.process.pid) - before < 8 * MIB

    def test_end_of_input_is_passed_on_and_the_other_direction_goes_on(
        self, forwarder: Example, upstream: socket.socket
    ) -> None:
        with forwarder.connect() as client, accept(upstream) as server:
            client.sendall(NOISE[:100_000])
            client.shutdown(socket.SHUT_WR)
            assert receive_to_end(server) == NOISE[:100_000]
            for part in (b"the ", b"answer, ", b"late"):
                server.sendall(part)
                assert client.recv(100) == part
            server.shutdown(socket.SHUT_WR)
            assert client.recv(100) == b""

    def test_the_same_when_the_server_ends_first(self, forwarder: Example, upstream: socket.socket) -> None:
        with forwarder.connect() as client, accept(upstream) as server:
            server.sendall(b"go on")
            server.shutdown(socket.SHUT_WR)
            assert receive_to_end(client) == b"go on"
            client.sendall(NOISE)
            client.shutdown(socket.SHUT_WR)
            assert receive_to_end(server) == NOISE

    def test_end_of_input_before_there_is_an_upstream(self, upstream: socket.socket) -> None:
        """Everything, its end included, has come before the forwarder has connected."""
        # This one has to look its name up, in another thread.
        with (
            forwarder_to(upstream.getsockname()[1], host="localhost") as forwarder,
            forwarder.connect() as client,
        ):
            client.sendall(b"all of it")
            client.shutdown(socket.SHUT_WR)
            with accept(upstream) as server:
                assert receive_to_end(server) == b"all of it"
                server.sendall(b"well received")
            assert receive_to_end(client) == b"well received"

    def test_what_was_sent_before_the_close_arrives(
        self, forwarder: Example, upstream: socket.socket
    ) -> None:
        with forwarder.connect() as client, accept(upstream) as server:
            client.sendall(NOISE)
            client.close()
            assert receive_to_end(server) == NOISE


class TestEnds:
    def test_upstream_that_refuses_is_one_line_and_an_end(self) -> None:
        with socket.socket() as holder:
            holder.bind(("127.0.0.1", 0))  # and does not listen
            port = holder.getsockname()[1]
            with forwarder_to(port) as forwarder:
                for _ in range(2):  # it goes on
                    with forwarder.connect() as client:
                        name = client.getsockname()
                        assert client.recv(100) == b""
                    line = forwarder.line()
                    assert line.startswith(f"{name}: no connection to 127.0.0.1 port {port}: ")
                    assert "refused" in line
                forwarder.interrupt()

    def test_name_that_does_not_resolve(self) -> None:
        with forwarder_to(1, host="no-such-host.invalid") as forwarder:
            with forwarder.connect() as client:
                assert client.recv(100) == b""
            assert "no connection to no-such-host.invalid port 1: " in forwarder.line()
            forwarder.interrupt()

    def test_lost_client_is_the_end_for_the_server(self, forwarder: Example, upstream: socket.socket) -> None:
        client = forwarder.connect()
        with accept(upstream) as server:
            client.sendall(b"hello")
            assert server.recv(100) == b"hello"
            reset(client)
            assert server.recv(100) == b""
        forwarder.interrupt()

    def test_lost_server_is_the_end_for_the_client(self, forwarder: Example, upstream: socket.socket) -> None:
        with forwarder.connect() as client:
            server = accept(upstream)
            client.sendall(b"hello")
            assert server.recv(100) == b"hello"
            server.sendall(b"half an ans")
            assert client.recv(100) == b"half an ans"
            reset(server)
            assert client.recv(100) == b""
        forwarder.interrupt()

    def test_connections_do_not_add_up(self, forwarder: Example, upstream: socket.socket) -> None:
        """Each leaves nothing behind, whoever ends it."""
        descriptors = Path(f"/proc/{forwarder.process.pid}/fd")
        if not descriptors.exists():
            pytest.skip("no /proc here")
        forwarder.wait_until_it_waits()
        before = len(list(descriptors.iterdir()))
        for number in range(40):
            with forwarder.connect() as client, accept(upstream) as server:
                client.sendall(b"hello")
                assert server.recv(100) == b"hello"
                first, last = (client, server) if number % 2 else (server, client)
                first.close()
                assert last.recv(100) == b""
        wait_until(lambda: len(list(descriptors.iterdir())) == before, "all descriptors are closed")
        forwarder.interrupt()

    def test_interrupt_in_the_middle(self, forwarder: Example, upstream: socket.socket) -> None:
        with forwarder.connect() as client, accept(upstream) as server:
            client.sendall(b"hello")
            assert server.recv(100) == b"hello"
            forwarder.interrupt()
            assert server.recv(100) == b""

    @pytest.mark.parametrize("target", ["nowhere", "host:", ":80", "host:0", "host:65536", "host:www"])
    def test_bad_target_is_refused(self, target: str) -> None:
        done = run("forward", "0", target)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.endswith(f"argument HOST:PORT: {target!r} is no HOST:PORT\n")

    def test_port_in_use_is_one_line(self, upstream: socket.socket) -> None:
        port = upstream.getsockname()[1]
        done = run("forward", str(port), "localhost:1")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(f"Forwarder cannot listen on localhost port {port}: ")
        assert done.stderr.count("\n") == 1


class TestRealPeers:
    def test_curl_fetches_a_page(self) -> None:
        if (curl := shutil.which("curl")) is None:
            pytest.skip("no curl here")
        with http.server.HTTPServer(("127.0.0.1", 0), Page) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            try:
                with forwarder_to(server.server_port) as forwarder:
                    url = f"http://localhost:{forwarder.port}/"
                    for version in ("--http1.0", "--http1.1"):
                        page = subprocess.run(
                            [curl, "-sS", version, url, url], capture_output=True, timeout=PATIENCE
                        )
                        assert page.stderr == b""
                        assert page.stdout == NOISE * 2
            finally:
                server.shutdown()
                thread.join()

    def test_nc_sends_a_file_and_has_the_answer(self) -> None:
        if (nc := shutil.which("nc")) is None:
            pytest.skip("no nc here")
        with Example("echo_server") as echo, forwarder_to(echo.port) as forwarder:
            lines = b"".join(b"line %d\n" % number for number in range(20_000)) + b"and the rest"
            answer = subprocess.run(
                [nc, "-N", "localhost", str(forwarder.port)],
                input=lines,
                capture_output=True,
                timeout=PATIENCE,
            )
            assert answer.stdout == lines.upper()


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(NOISE)))
        self.end_headers()
        self.wfile.write(NOISE)

    def log_message(self, format: str, *args: Any) -> None:
        pass


class House:
    """The forwarder in this thread, a turn at a time, so that nothing about it is hidden."""

    def __init__(self, module: ModuleType, upstream: socket.socket, limits: Limits) -> None:
        self.clock = ManualClock()
        self.reactor = Reactor(clock=self.clock)
        self.most_owed = self.most_held = 0
        server = module.Forwarder(("127.0.0.1", 0), module.Downstream)
        server.limits = limits
        server.target = upstream.getsockname()
        self.reactor.register(server)
        self.client = socket.create_connection(server.server_address)
        self.client.setblocking(False)
        upstream.setblocking(False)
        accepted: list[socket.socket] = []
        self.turn_until(lambda: accepted or attempt(lambda: accepted.append(upstream.accept()[0])))
        self.server = accepted[0]
        self.server.setblocking(False)

    def close(self) -> None:
        self.client.close()
        self.server.close()
        self.reactor.close()

    def turn(self) -> int:
        ready = self.reactor.handle_events(0)
        rows = list(self.reactor.requests)
        self.most_owed = max([self.most_owed, *(row.owed for row in rows)])
        self.most_held = max(self.most_held, sum(row.received - row.sent for row in rows))
        return ready

    def turn_until(self, true: Callable[[], Any]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not true():
            assert time.monotonic() < deadline, "that was not to happen in any turn"
            self.turn()

    def send_until_nothing_moves(self, sender: socket.socket, data: bytes) -> int:
        """Send as much of *data* as will go while nobody reads; how much that was."""
        sent = idle = 0
        while idle < 50:  # turns in which nothing happened
            moved = self.turn()
            try:
                size = sender.send(data[sent : sent + MIB])
            except BlockingIOError:
                size = 0
            sent += size
            idle = 0 if moved or size else idle + 1
        return sent

    def receive_slowly(self, receiver: socket.socket, size: int) -> bytes:
        """Take it in small pieces, with a turn after each."""
        received = bytearray()
        self.turn_until(
            lambda: attempt(lambda: received.extend(receiver.recv(20_000))) and len(received) >= size
        )
        return bytes(received)


def attempt(act: Callable[[], Any]) -> bool:
    """Whether it could be done without waiting."""
    try:
        act()
    except BlockingIOError:
        return False
    return True


@pytest.fixture
def forward(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """examples/forward.py as a module."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import forward

    yield forward
    for name in ("forward", "common"):
        sys.modules.pop(name, None)


@pytest.fixture
def house(forward: ModuleType, upstream: socket.socket) -> Iterator[House]:
    inside = House(forward, upstream, Limits(request_timeout=1, send_timeout=60, idle_timeout=60))
    yield inside
    inside.close()


class TestBackPressure:
    @pytest.mark.parametrize("direction", ["to the server", "to the client"])
    def test_little_is_owed_to_one_who_does_not_read(self, house: House, direction: str) -> None:
        sender, receiver = house.client, house.server
        if direction == "to the client":
            sender, receiver = receiver, sender
        data = NOISE * 32
        sent = house.send_until_nothing_moves(sender, data)
        assert sent < len(data), "this test needs more bytes than the kernel takes"
        assert 0 < house.most_owed <= BUFFER
        assert house.most_held <= 2 * BUFFER  # one owed, and one that came before reading stopped

        house.clock.advance(20)  # longer than request_timeout: it is not the sender's fault
        for _ in range(10):
            house.turn()
        assert len(house.reactor.requests) == 2

        # The other direction does not mind.
        receiver.send(b"I am busy")
        assert house.receive_slowly(sender, 9) == b"I am busy"

        assert house.receive_slowly(receiver, sent) == data[:sent]
        assert house.most_held <= 2 * BUFFER

    def test_end_of_input_waits_behind_what_is_owed(self, house: House) -> None:
        data = NOISE * 32
        sent = house.send_until_nothing_moves(house.client, data)
        house.client.shutdown(socket.SHUT_WR)
        for _ in range(20):
            house.turn()
        assert house.receive_slowly(house.server, sent) == data[:sent]
        ends: list[bytes] = []
        house.turn_until(lambda: attempt(lambda: ends.append(house.server.recv(100))))
        assert ends == [b""]
        house.server.send(b"got it")
        assert house.receive_slowly(house.client, 6) == b"got it"
        house.server.shutdown(socket.SHUT_WR)
        house.turn_until(lambda: not house.reactor.requests)


def memory_peak(pid: int) -> int:
    """The most memory that a process has had, in bytes, where the system tells."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return 0
    return (
        next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        << 10
    )
