"""curio: a task for each connection, and a stream to read its lines from."""

from __future__ import annotations

from typing import Any

import curio
from curio.network import run_server, tcp_server_socket


async def upper(client: Any, _address: Any) -> None:
    """Answer each line with the line in upper case."""
    async for line in client.as_stream():
        await client.sendall(line.upper())


async def main() -> None:
    """Serve on a port of the system's choice, which is the first line printed."""
    listener = tcp_server_socket("127.0.0.1", 0, backlog=512)
    print(listener.getsockname()[1], flush=True)
    await run_server(listener, upper)


if __name__ == "__main__":
    curio.run(main())
