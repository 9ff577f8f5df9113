"""Flask's `app.run`, which is werkzeug's development server: threads, processes, a thread of its own."""

import os
import threading

import pytest
from flask import Flask, request
from werkzeug.serving import make_server

from tests.conformance.programs.driving import get, running

app = Flask(__name__)


@app.get("/who")
def who():
    return {"pid": os.getpid(), "thread": threading.get_ident()}


@app.post("/upper")
def upper():
    return request.get_data().upper()


@app.get("/stream")
def stream():
    return (f"{n}\n" for n in range(1000))


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("options", [{}, {"threaded": True}, {"processes": 2}], ids=str)
def test_it_answers(options):
    with running(make_server("127.0.0.1", 0, app, **options)) as server:
        assert get(server.server_port, "/upper", b"hello") == b"HELLO"
        assert get(server.server_port, "/stream").split() == [b"%d" % n for n in range(1000)]
        who = app.json.loads(get(server.server_port, "/who"))
    assert (who["pid"] == os.getpid()) == ("processes" not in options)
    assert who["thread"] != threading.get_ident() or "processes" in options
