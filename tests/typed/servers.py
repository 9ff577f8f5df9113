"""Servers with hooks and limits of their own, and handlers that know their server."""

import socket
from functools import partial
from typing import Any

from reactor import (
    AsyncStreamRequestHandler,
    Limits,
    Line,
    ReactorMixIn,
    ReactorTCPServer,
    StateRequestHandler,
    StreamRequestHandler,
    TCPServer,
    ThreadingTCPServer,
)


class Member(StateRequestHandler):
    server: "Room"

    def start(self) -> None:
        self.server.members.add(self)
        self.expect(Line(), self.server.say)

    def finish(self) -> None:
        self.server.members.discard(self)


class Room(ReactorTCPServer):
    allow_reuse_address = True
    request_queue_size = 10
    limits = Limits(max_connections=100, idle_timeout=None, send_buffer_limit=1 << 16)

    def __init__(self, server_address: tuple[str, int], banned: set[str]) -> None:
        super().__init__(server_address, Member)
        self.members: set[Member] = set()
        self.banned = banned

    def say(self, line: bytes) -> None:
        for member in self.members:
            member.write(line)

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        super().server_bind()

    def get_request(self) -> Any:
        request, address = super().get_request()
        request.settimeout(5)
        return request, address

    def verify_request(self, request: Any, client_address: Any) -> bool:
        return client_address[0] not in self.banned

    def finish_request(self, request: Any, client_address: Any) -> None:
        super().finish_request(request, client_address)

    def service_actions(self) -> None:
        super().service_actions()
        print(len(self.reactor.requests))

    def handle_error(self, request: Any, client_address: Any) -> None:
        print("trouble with", client_address)

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)

    def server_close(self) -> None:
        super().server_close()
        self.members.clear()


class Mixed(ReactorMixIn, TCPServer):
    address_family = socket.AF_INET6


class Limited(ThreadingTCPServer):
    limits = Limits(request_timeout=5)


class Unlimited(ReactorTCPServer):
    limits = None


class Database:
    def look_up(self, key: bytes) -> bytes:
        return key


class Lookup(AsyncStreamRequestHandler):
    def __init__(self, request: Any, client_address: Any, server: Any, database: Database) -> None:
        super().__init__(request, client_address, server)
        self.database = database

    async def handle(self) -> None:
        async for line in self.rfile:
            self.wfile.write(self.database.look_up(line))


class Echo(StreamRequestHandler):
    def handle(self) -> None:
        self.wfile.write(self.rfile.readline())


def main() -> None:
    with Room(("localhost", 0), banned=set()) as room:
        room.serve_forever()
    with Mixed(("::", 0, 0, 0), partial(Lookup, database=Database())) as mixed:
        mixed.drain_on(15)
        mixed.serve_forever(poll_interval=5)
    Limited(("localhost", 0), Echo).server_close()
    Unlimited(("localhost", 0), partial(Lookup, database=Database())).server_close()
