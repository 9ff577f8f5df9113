"""Proves that the programs in README.md and docs/ run as they stand there, but for the port."""

import os
import re
import signal
import socket
import sys
import threading
from pathlib import Path

import pytest

from tests.support.servers import FORKS

ROOT = Path(__file__).parents[2]
PATIENCE = 20.0


def programs(name, *ids):
    """The programs in a document, named by *ids*."""
    found = re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(encoding="utf-8"), re.S)
    return [pytest.param(each, id=f"{name}-{word}") for each, word in zip(found, ids, strict=True)]


@FORKS
@pytest.mark.parametrize(
    "program",
    programs("README.md", "classic", "coroutine", "state-machine", "one-loop")
    + programs("docs/servers.md", "blocking", "threads", "processes", "table", "slow-work", "dual-stack")
    + programs("docs/internet.md", "whole"),
)
def test_a_program_in_a_document_serves(program, monkeypatch):
    """In the main thread, as its reader runs it; the client is the other thread and ends it."""
    reader, writer = os.pipe()
    monkeypatch.setattr(sys, "stdin", open(reader))  # noqa: SIM115 - closed below
    scope: dict = {"__name__": "__main__"}
    answers = []

    def client():
        try:
            while "server" not in scope or not scope["server"].fileno():
                served.wait(0.01)
            port = scope["server"].server_address[1]
            with socket.create_connection(("localhost", port), PATIENCE) as peer:
                peer.sendall(b"hello SocketServer\n")
                answers.append(peer.makefile("rb").readline())
                peer.shutdown(socket.SHUT_RDWR)  # a forked child holds a copy of it
        finally:
            if "reactor" in scope:
                os.kill(os.getpid(), signal.SIGTERM)
            else:
                scope["server"].shutdown()

    served = threading.Event()
    thread = threading.Thread(target=client)
    thread.start()
    try:
        exec(compile(program.replace("5639", "0"), "a document", "exec"), scope)
    finally:
        thread.join()
        sys.stdin.close()
        os.close(writer)
    assert answers == [b"HELLO SOCKETSERVER\n"]
