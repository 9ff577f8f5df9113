"""trio: a task for each connection. It has no lines of its own, so they are split by hand."""

from __future__ import annotations

import trio


async def upper(stream: trio.SocketStream) -> None:
    """Answer each line with the line in upper case."""
    inbox = bytearray()
    async for data in stream:
        inbox += data
        whole = inbox.rfind(b"\n") + 1
        if whole:
            await stream.send_all(bytes(inbox[:whole]).upper())
            del inbox[:whole]


async def main() -> None:
    """Serve on a port of the system's choice, which is the first line printed."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    print(listeners[0].socket.getsockname()[1], flush=True)
    await trio.serve_listeners(upper, listeners)


if __name__ == "__main__":
    trio.run(main)
