"""What `make run-echo` runs: upper-casing echo over TCP, UDP and a Unix socket, in one thread.

PORT in the environment chooses the port. Ctrl-C ends it at once; SIGTERM lets what is half done finish.
"""

import os
import signal
import socket
import tempfile

from common import HOST, listen, port, say, shown, until_interrupted

from reactor import (
    AsyncStreamRequestHandler,
    DatagramRequestHandler,
    Reactor,
    ReactorTCPServer,
    ReactorUDPServer,
)

if hasattr(socket, "AF_UNIX"):
    from reactor import ReactorUnixStreamServer


class EchoStream(AsyncStreamRequestHandler):
    """A connection, of which there may be thousands: each line comes back in upper case."""

    async def handle(self) -> None:
        async for line in self.rfile:
            say(f"{self.client_address or 'a Unix client'} write: {shown(line.strip())}")
            self.wfile.write(line.upper())
            await self.wfile.drain()


class EchoDatagram(DatagramRequestHandler):
    """A datagram: it comes back in upper case."""

    def handle(self) -> None:
        say(f"{self.client_address} write: {shown(self.packet.strip())}")
        self.wfile.write(self.packet.upper())


class EchoServer(ReactorTCPServer):
    allow_reuse_address = True  # it may be started again at once


def main() -> None:
    with until_interrupted(), Reactor() as reactor:
        reactor.drain_on(signal.SIGTERM)
        tcp = listen(EchoServer, (HOST, port()), EchoStream)
        reactor.register(tcp)
        number = tcp.server_address[1]
        reactor.register(listen(ReactorUDPServer, (HOST, number), EchoDatagram))

        client = "python examples/echo_client.py" + (f" --port {number}" if number != 5639 else "")
        ways = f"  TCP:   {client} hello SocketServer\n  UDP:   {client} --udp hello SocketServer"
        if hasattr(socket, "AF_UNIX"):
            path = os.path.join(tempfile.gettempdir(), f"reactor-echo-{number}.sock")
            reactor.register(listen(ReactorUnixStreamServer, path, EchoStream))
            ways += f"\n  Unix:  {client} hello SocketServer --unix {path}"

        say(f"listening on {HOST} port {number}; Ctrl-C ends it. In another terminal:\n{ways}")
        reactor.run()


if __name__ == "__main__":
    main()
