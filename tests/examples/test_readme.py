"""Proves that the README's programs run as they stand there, but for the port."""

import os
import re
import signal
import socket
import sys
import threading
from pathlib import Path

import pytest

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"```python\n(.*?)```", README, re.S)
PATIENCE = 20.0


@pytest.mark.parametrize("program", PROGRAMS, ids=["classic", "coroutine", "state-machine", "one-loop"])
def test_a_program_of_the_readme_serves(program, monkeypatch):
    """In the main thread, as its reader runs it; the client is the other thread and ends it."""
    reader, writer = os.pipe()
    monkeypatch.setattr(sys, "stdin", open(reader))  # noqa: SIM115 - closed below
    scope: dict = {}
    answers = []

    def client():
        try:
            while "server" not in scope or not scope["server"].fileno():
                served.wait(0.01)
            with socket.create_connection(scope["server"].server_address, PATIENCE) as peer:
                peer.sendall(b"hello SocketServer\n")
                answers.append(peer.makefile("rb").readline())
        finally:
            if "reactor" in scope:
                os.kill(os.getpid(), signal.SIGTERM)
            else:
                scope["server"].shutdown()

    served = threading.Event()
    thread = threading.Thread(target=client)
    thread.start()
    try:
        exec(compile(program.replace("5639", "0"), "README.md", "exec"), scope)
    finally:
        thread.join()
        sys.stdin.close()
        os.close(writer)
    assert answers == [b"HELLO SOCKETSERVER\n"]
