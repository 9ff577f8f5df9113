"""What the scripts beside it share. Nothing here knows `reactor`: they run with the standard module too."""

import socketserver
import threading
import urllib.request
from contextlib import contextmanager

PATIENCE = 20.0


@contextmanager
def running(server):
    """The server in a thread; shut down, joined and closed at the end."""
    assert isinstance(server, socketserver.BaseServer)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join(PATIENCE)
        assert not thread.is_alive()
        server.server_close()


def get(port, path="/", data=None):
    """The body of what an HTTP server answers."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", data, PATIENCE) as answer:
        return answer.read()
