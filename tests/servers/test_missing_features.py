"""Proves that on a system without a feature the package imports, lacks what needs it, and serves."""

import pytest

from tests.support.servers import ended, program

MISSING = """
import os, select, signal, socket, sys

pair, unix = socket.socketpair, socket.AF_UNIX
socket.socketpair = lambda: pair(unix)  # where there is no AF_UNIX, the real one makes do as well

for name in sys.argv[1:]:
    module, _, attribute = name.partition(".")
    if attribute:
        if hasattr(sys.modules[module], attribute):
            delattr(sys.modules[module], attribute)
    else:
        sys.modules[module] = None  # importing it fails

import threading
import reactor, reactor.socketserver
from reactor import *

for module in (reactor, reactor.socketserver):
    missing = [name for name in module.__all__ if not hasattr(module, name)]
    assert not missing, missing
print(*sorted(name for name in reactor.__all__ if "Forking" in name or "Unix" in name))

class Upper(StateRequestHandler):
    def start(self):
        self.expect(Line(), self.line)

    def line(self, line):
        self.write(line.upper())

class CoroutineUpper(AsyncStreamRequestHandler):
    async def handle(self):
        async for line in self.rfile:
            self.wfile.write(await self.offload(line.upper))

class UpperDatagram(DatagramRequestHandler):
    def handle(self):
        self.wfile.write(self.rfile.read().upper())

class Client(StateRequestHandler):
    def start(self):
        self.write(b"client\\n")
        self.expect(Line(), self.answered)

    def answered(self, line):
        print(line.decode().strip())
        self.close()

    def finish(self):
        self.reactor.stop()

def ask(server):
    with socket.create_connection(server.server_address, 10) as peer:
        for word in (b"one\\n", b"two\\n"):
            peer.sendall(word)
            assert peer.recv(100) == word.upper()

class Shared(ReactorTCPServer):
    allow_reuse_port = True
    allow_reuse_address = True

for cls, handler in (
    (ReactorTCPServer, Upper), (ReactorTCPServer, CoroutineUpper), (Shared, Upper),
    (TCPServer, CoroutineUpper), (ThreadingTCPServer, Upper),
):
    with cls(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=ask, args=(server,))

        def ask_and_stop():
            try:
                ask(server)
            finally:
                server.shutdown()

        thread = threading.Thread(target=ask_and_stop)
        thread.start()
        server.serve_forever(60)
        thread.join()

with ReactorUDPServer(("127.0.0.1", 0), UpperDatagram) as server:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.settimeout(10)
        peer.sendto(b"datagram", server.server_address)
        server.handle_request()
        print(peer.recv(100).decode())

with Reactor() as loop, ReactorTCPServer(("127.0.0.1", 0), Upper) as server:
    loop.register(server)
    connect(loop, server.server_address, Client)
    loop.run()
"""

FORKING = {"ForkingMixIn", "ForkingTCPServer", "ForkingUDPServer"}
FORKING_UNIX = {"ForkingUnixDatagramServer", "ForkingUnixStreamServer"}
UNIX = {
    "ReactorUnixDatagramServer",
    "ReactorUnixStreamServer",
    "ThreadingUnixDatagramServer",
    "ThreadingUnixStreamServer",
    "UnixDatagramServer",
    "UnixStreamServer",
}
ALL = FORKING | FORKING_UNIX | UNIX

SELECTORS = ["select.epoll", "select.poll", "select.devpoll", "select.kqueue"]


@pytest.mark.parametrize(
    ("missing", "left"),
    [
        ([], ALL),
        (["socket.AF_UNIX"], FORKING),
        (["os.fork"], UNIX),
        (["os.fork", "socket.AF_UNIX"], set()),
        (["select.epoll"], ALL),
        (SELECTORS, ALL),
        (["socket.SO_REUSEPORT"], ALL),
        (["socket.SO_REUSEADDR"], ALL),
        (["os.register_at_fork"], ALL),
        (["signal.set_wakeup_fd"], ALL),
        (["resource"], ALL),
        (
            [
                "os.fork",
                "socket.AF_UNIX",
                "socket.SO_REUSEPORT",
                "os.register_at_fork",
                "resource",
                *SELECTORS,
            ],
            set(),
        ),
    ],
    ids=lambda value: ",".join(sorted(value)) if isinstance(value, list) else "",
)
def test_without_a_feature_the_names_that_need_it_are_absent_and_the_rest_works(missing, left):
    with program(MISSING, *missing) as process:
        status, out, err = ended(process)
    assert (status, err) == (0, "")
    names, *said = out.splitlines()
    assert set(names.split()) == left
    assert said == ["DATAGRAM", "CLIENT"]
