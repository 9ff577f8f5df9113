"""gevent: a greenlet for each connection, and a file to read its lines from."""

from __future__ import annotations

from typing import Any

from gevent.server import StreamServer


def upper(sock: Any, _address: Any) -> None:
    """Answer each line with the line in upper case."""
    with sock.makefile("rb") as lines:
        for line in lines:
            sock.sendall(line.upper())


if __name__ == "__main__":
    server = StreamServer(("127.0.0.1", 0), upper)
    server.start()
    print(server.server_port, flush=True)
    server.serve_forever()
