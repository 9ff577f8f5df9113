"""jsonrpclib-pelix: a server that hands its requests to a pool of its own, over TCP and a Unix socket."""

import socket
import threading

import jsonrpclib
import pytest
from jsonrpclib.SimpleJSONRPCServer import PooledJSONRPCServer, SimpleJSONRPCServer

from tests.conformance.programs.driving import PATIENCE, running


def register(server):
    server.register_function(lambda *words: " ".join(words).upper(), "upper")
    server.register_function(lambda: 1 // 0, "fail")


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNIX])
def test_calls_are_answered(family, tmp_path):
    unix = family == socket.AF_UNIX
    address = str(tmp_path / "socket") if unix else ("127.0.0.1", 0)
    server = SimpleJSONRPCServer(address, address_family=family, logRequests=False)
    register(server)
    with running(server):
        url = f"unix+http://{address}" if unix else f"http://127.0.0.1:{server.server_address[1]}"
        client = jsonrpclib.ServerProxy(url)
        assert client.upper("one", "two") == "ONE TWO"
        with pytest.raises(jsonrpclib.ProtocolError):
            client.fail()
        client("close")()


def test_a_pool_of_its_own():
    server = PooledJSONRPCServer(("127.0.0.1", 0), logRequests=False)
    register(server)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    client = jsonrpclib.ServerProxy(f"http://127.0.0.1:{server.server_address[1]}")
    assert [client.upper(word) for word in ("a", "b", "c")] == ["A", "B", "C"]
    client("close")()
    server.server_close()  # shuts it down as well
    thread.join(PATIENCE)
    assert not thread.is_alive()
