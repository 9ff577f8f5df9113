"""The commands of examples/kv.py on a Protocol: `python kv_protocol.py LOOP`, asyncio or uvloop.

The store is the same. The parser is what one writes for a Protocol by hand: it takes arguments where they
lie and joins the replies of a delivery. It has no limits but the longest argument, and no deadlines.
"""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import cast

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))

from kv_commands import LARGEST, OK, Store

#: Bytes of the longest first line of a command or an argument.
HEADER = 16


class ProtocolError(Exception):
    """What is answered before the connection is closed."""


def next_command(data: bytes, start: int) -> tuple[list[bytes], int] | None:
    """The arguments of the command that begins at *start*, and where it ends."""
    if data[start] != 0x2A:
        end = data.find(b"\n", start) + 1
        return (data[start:end].split(), end) if end else None
    end = data.find(b"\r\n", start, start + HEADER)
    if end < 0:
        return None
    digits = data[start + 1 : end]
    if not digits.isdigit():
        raise ProtocolError("invalid multibulk length")
    arguments = []
    start = end + 2
    for _ in range(int(digits)):
        end = data.find(b"\r\n", start, start + HEADER)
        if end < 0:
            return None
        digits = data[start + 1 : end]
        if data[start] != 0x24 or not digits.isdigit() or (size := int(digits)) > LARGEST:
            raise ProtocolError("invalid bulk length")
        start = end + size + 4
        if start > len(data):
            return None
        arguments.append(data[end + 2 : start - 2])
    return arguments, start


class KeyValue(asyncio.Protocol):
    """One client of the store."""

    def __init__(self, store: Store) -> None:
        self.execute = store.execute
        self.inbox = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self.inbox:
            data = self.inbox + data
        replies = []
        start, have = 0, len(data)
        try:
            while start < have and (found := next_command(data, start)):
                arguments, start = found
                if not arguments:
                    continue
                reply = self.execute(arguments)
                if reply is None:
                    self.end(replies, OK)
                    return
                replies.append(reply)
        except ProtocolError as error:
            self.end(replies, f"-ERR Protocol error: {error}\r\n".encode())
            return
        self.inbox = data[start:]
        if replies:
            self.transport.write(b"".join(replies))

    def end(self, replies: list[bytes], last: bytes) -> None:
        self.transport.write(b"".join([*replies, last]))
        self.transport.close()


async def main() -> None:
    """Serve on a port of the system's choice, which is the first line printed."""
    loop = asyncio.get_running_loop()
    store = Store(loop.call_later, loop.time)
    server = await loop.create_server(partial(KeyValue, store), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    import_module(sys.argv[1]).run(main())
