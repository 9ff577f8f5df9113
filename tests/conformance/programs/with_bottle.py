"""bottle's `run`: wsgiref's server, with a subclass made inside a function."""

import threading

import bottle

from tests.conformance.programs.driving import PATIENCE, get

app = bottle.Bottle()


@app.post("/upper")
def upper():
    return bottle.request.body.read().upper()


def test_run():
    adapter = bottle.WSGIRefServer(host="127.0.0.1", port=0)
    made = threading.Event()

    from wsgiref.simple_server import WSGIServer

    class Server(WSGIServer):
        def server_activate(self):
            super().server_activate()
            made.server = self
            made.set()

    adapter.options["server_class"] = Server
    options = {"server": adapter, "quiet": True}
    thread = threading.Thread(target=bottle.run, args=(app,), kwargs=options, daemon=True)
    thread.start()
    assert made.wait(PATIENCE)
    assert get(made.server.server_port, "/upper", b"hello") == b"HELLO"
    made.server.shutdown()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    made.server.server_close()
