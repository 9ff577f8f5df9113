"""The echo servers and their client, each in a process of its own."""

import contextlib
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.examples.processes import (
    PATIENCE,
    ROOT,
    Example,
    Program,
    environment,
    receive_to_end,
    refuses,
    run,
    wait_until,
)

FORMS = ["echo_server", "echo_blocking", "echo_threading", "echo_forking", "echo_state", "echo_coroutine"]
BOTH_LINES = "Send:     hello SocketServer\nreceived: HELLO SOCKETSERVER\n"

unix_only = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no Unix sockets here")


@pytest.fixture
def echo() -> Iterator[Example]:
    """examples/echo_server.py, all its sockets open."""
    with Example("echo_server") as server:
        yield server


def ask(*args: str, **env: str) -> None:
    """Run the client; its output has to be exactly what is promised."""
    client = run("echo_client", *args, **env)
    assert (client.stdout, client.stderr, client.returncode) == (BOTH_LINES, "", 0)


@pytest.fixture(scope="module", params=FORMS)
def serving(request: pytest.FixtureRequest) -> Iterator[Example]:
    """One of the echo servers; several tests talk to it, one after the other."""
    with Example(request.param) as server:
        yield server


class TestEveryForm:
    def test_client_and_server_print_what_is_promised(self, serving: Example) -> None:
        ask("--port", str(serving.port), "hello", "SocketServer")
        line = serving.line_with("write:")
        assert re.fullmatch(r"\('127\.0\.0\.1', \d+\) write: hello SocketServer", line)
        with serving.connect() as peer:
            peer.sendall(b"hello SocketServer\n")
            assert serving.line() == f"{peer.getsockname()} write: hello SocketServer"

    def test_half_a_line_is_answered_at_the_end_of_input(self, serving: Example) -> None:
        with serving.connect() as peer:
            peer.sendall(b"hello")
            peer.shutdown(socket.SHUT_WR)
            assert receive_to_end(peer) == b"HELLO"
            assert serving.line_with("write:") == f"{peer.getsockname()} write: hello"

    def test_what_a_stranger_sends_does_nothing_to_the_terminal(self, serving: Example) -> None:
        with serving.connect() as peer:
            peer.sendall(b"\x1b[2J\xff\n")
            assert serving.line_with("write:") == f"{peer.getsockname()} write: \\x1b[2J\\xff"

    @pytest.mark.parametrize("form", FORMS)
    def test_it_can_be_started_again_at_once(self, form: str) -> None:
        with Example(form) as server, server.connect() as peer:
            port = server.port
            peer.sendall(b"hello\n")
            assert peer.recv(100).strip() == b"HELLO"
            server.interrupt()  # ends the connection from our side, so the port has one in TIME_WAIT
            assert peer.recv(100) in (b"", b"\n")
        with Example(form, PORT=str(port)) as server:
            assert server.port == port
            ask("hello", "SocketServer", PORT=str(port))

    # A forking server's children have the signal from the terminal, as the server itself has.
    @pytest.mark.parametrize(("form", "group"), [*((form, True) for form in FORMS), ("echo_server", False)])
    def test_interrupt_with_clients_who_say_nothing_or_half_a_line(self, form: str, group: bool) -> None:
        with Example(form) as server, server.connect() as half, server.connect():
            half.sendall(b"hello, it's m")
            wait_until(lambda: server.has_taken(half), "it waits for the rest of the line")
            server.interrupt(group=group)

    @pytest.mark.parametrize("form", FORMS)
    def test_port_in_use_is_one_line(self, form: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as holder:
            port = holder.getsockname()[1]
            server = run(form, PORT=str(port))
        assert (server.returncode, server.stdout) == (1, "")
        assert re.fullmatch(rf"\w+ cannot listen on localhost port {port}: .*in use\n", server.stderr)

    @pytest.mark.parametrize("form", FORMS)
    def test_bad_port_is_one_line(self, form: str) -> None:
        server = run(form, PORT="five")
        assert (server.returncode, server.stdout) == (1, "")
        assert server.stderr == "PORT must be a number from 0 to 65535, not 'five'\n"


class TestEchoServer:
    """TCP, UDP and a Unix socket in one thread."""

    def test_console_says_how_to_try_each(self, echo: Example) -> None:
        for _ in range(2 + hasattr(socket, "AF_UNIX")):
            way, command = echo.line().split(":", 1)
            assert way.strip() in ("TCP", "UDP", "Unix")
            python, script, *args = command.split()
            assert (python, script) == ("python", "examples/echo_client.py")
            ask(*args)

    def test_udp(self, echo: Example) -> None:
        ask("--udp", "hello", "SocketServer", PORT=str(echo.port))
        assert re.fullmatch(r"\('127\.0\.0\.1', \d+\) write: hello SocketServer", echo.line_with("write:"))
        with echo.connect(socket.SOCK_DGRAM) as peer:
            peer.send(b"one\ntwo")
            assert peer.recv(100) == b"ONE\nTWO"
            assert echo.line() == f"{peer.getsockname()} write: one\\ntwo"

    @unix_only
    def test_unix(self, echo: Example) -> None:
        path = echo.line_with("Unix").split()[-1]
        for args in (["--unix"], ["--unix", path], [f"--unix={path}", "--port", "1"]):
            ask("hello", "SocketServer", *args, PORT=str(echo.port))
            assert echo.line() == "a Unix client write: hello SocketServer"
        echo.interrupt()
        assert not os.path.exists(path)

    def test_several_requests_of_one_connection(self, echo: Example) -> None:
        with echo.connect() as peer, peer.makefile("rb") as replies:
            peer.sendall(b"one\ntwo\nthr")
            assert [replies.readline(), replies.readline()] == [b"ONE\n", b"TWO\n"]
            peer.sendall(b"ee\n")
            assert replies.readline() == b"THREE\n"

    def test_nobody_waits_for_anybody_else(self, echo: Example) -> None:
        peers = [echo.connect() for _ in range(100)]
        try:
            for peer in peers:
                peer.sendall(b"half")
            ask("hello", "SocketServer", "--port", str(echo.port))
            for peer in reversed(peers):
                peer.sendall(b" done\n")
                assert peer.recv(100) == b"HALF DONE\n"
        finally:
            for peer in peers:
                peer.close()

    def test_nc_is_answered_over_tcp_and_udp(self, echo: Example) -> None:
        if (nc := shutil.which("nc")) is None:
            pytest.skip("no nc here")
        tcp = subprocess.run(
            [nc, "-N", "localhost", str(echo.port)], input=b"one\ntwo", capture_output=True, timeout=PATIENCE
        )
        assert tcp.stdout == b"ONE\nTWO"
        udp = subprocess.run(
            [nc, "-u", "-W", "1", "127.0.0.1", str(echo.port)],
            input=b"one\n",
            capture_output=True,
            timeout=PATIENCE,
        )
        assert udp.stdout == b"ONE\n"

    def test_curl_is_answered(self, echo: Example) -> None:
        if (curl := shutil.which("curl")) is None:
            pytest.skip("no curl here")
        # -N: it passes on what comes at once; it ends when the server does.
        with Program(curl, "-sN", f"telnet://localhost:{echo.port}", stdin=subprocess.PIPE) as client:
            client.type("one\ntwo\n", end=True)
            assert [client.line(), client.line()] == ["ONE", "TWO"]
            echo.interrupt()
            assert client.end() == (0, "")

    def test_udp_port_in_use_is_one_line(self) -> None:
        with socket.socket() as reserved, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
            reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
            reserved.bind(("127.0.0.1", 0))  # nobody else gets the TCP port, and the server may listen
            port = reserved.getsockname()[1]
            holder.bind(("127.0.0.1", port))
            server = run("echo_server", PORT=str(port))
        assert (server.returncode, server.stdout) == (1, "")
        assert re.fullmatch(
            rf"ReactorUDPServer cannot listen on localhost port {port}: .*in use\n", server.stderr
        )

    @pytest.mark.parametrize("port", ["65536", "-1", "5639.0", " 1", "\N{ARABIC-INDIC DIGIT THREE}"])
    def test_bad_port_is_one_line(self, port: str) -> None:
        server = run("echo_server", PORT=port)
        assert (server.returncode, server.stdout) == (1, "")
        assert server.stderr == f"PORT must be a number from 0 to 65535, not {port!r}\n"

    @unix_only
    def test_unix_path_in_use_is_one_line(self, tmp_path: str) -> None:
        with Example("echo_server", TMPDIR=str(tmp_path)) as other:
            path = other.line_with("Unix").split()[-1]
            port = other.port
            other.signal(signal.SIGKILL)
            other.process.wait(PATIENCE)
        assert os.path.exists(path)
        with Example("echo_server", TMPDIR=str(tmp_path), PORT=str(port)) as heir:  # takes over what is dead
            assert heir.line_with("Unix").split()[-1] == path
            heir.interrupt()
        with socket.socket(socket.AF_UNIX) as holder:
            holder.bind(path)
            holder.listen()
            server = run("echo_server", PORT=str(port), TMPDIR=str(tmp_path))
        assert (server.returncode, server.stdout) == (1, "")
        assert re.fullmatch(
            rf"ReactorUnixStreamServer cannot listen on {re.escape(path)}: .*in use\n", server.stderr
        )

    def test_sigterm_lets_a_half_sent_request_finish(self, echo: Example) -> None:
        with echo.connect() as idle, echo.connect() as half:
            half.sendall(b"one\ntw")
            assert half.recv(100) == b"ONE\n"
            echo.signal(signal.SIGTERM)
            assert idle.recv(100) == b""
            wait_until(lambda: refuses(echo.port), "newcomers are refused")
            half.sendall(b"o\n")
            assert receive_to_end(half) == b"TWO\n"
        assert echo.end() == (0, "")

    def test_interrupt_cuts_draining_short(self, echo: Example) -> None:
        with echo.connect() as idle, echo.connect() as half:
            half.sendall(b"one\ntw")
            assert half.recv(100) == b"ONE\n"
            echo.signal(signal.SIGTERM)
            assert idle.recv(100) == b""
            wait_until(lambda: echo.has_taken(half), "it waits for the rest of the line")
            echo.interrupt()


class TestClient:
    @pytest.mark.parametrize("way", ["tcp", "udp", pytest.param("unix", marks=unix_only)])
    def test_nobody_there_is_one_line(self, way: str) -> None:
        kind = socket.SOCK_DGRAM if way == "udp" else socket.SOCK_STREAM
        with socket.socket(socket.AF_INET, kind) as holder:
            holder.bind(("127.0.0.1", 0))
            port = str(holder.getsockname()[1])
            if way == "udp":
                holder.close()  # bound, it would be somebody who says nothing
            client = run("echo_client", "hello", "--port", port, *([] if way == "tcp" else [f"--{way}"]))
        where = "the Unix socket" if way == "unix" else f"localhost port {port}"
        assert (client.returncode, client.stdout) == (1, "")
        assert re.fullmatch(rf"no answer from {where}: [\w ]+\n", client.stderr)

    @pytest.mark.parametrize("port", ["five", "65536"])
    def test_bad_port_is_one_line(self, port: str) -> None:
        client = run("echo_client", "hello", PORT=port)
        assert (client.returncode, client.stdout) == (1, "")
        assert client.stderr == f"the port must be a number from 0 to 65535, not {port!r}\n"

    def test_port_option_goes_before_the_environment(self, echo: Example) -> None:
        ask("--port", str(echo.port), "hello", "SocketServer", PORT="1")

    def test_it_needs_nothing_but_python(self, echo: Example) -> None:
        command = [sys.executable, "-I", "examples/echo_client.py", "hello", "SocketServer"]
        client = subprocess.run(
            [*command, "--port", str(echo.port)], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE
        )
        assert client.stdout == BOTH_LINES

    @pytest.mark.parametrize("reply", [b"HELLO\n", b"HELLO\r\n", b"HELLO", b"HELLO\nand more\n"])
    def test_reply_ends_at_a_newline_or_with_the_connection(self, reply: bytes) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            command = [sys.executable, "examples/echo_client.py", "hello"]
            client = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment(PORT=str(listener.getsockname()[1])),
                stdout=subprocess.PIPE,
            )
            listener.settimeout(PATIENCE)
            peer, _ = listener.accept()
            with peer:
                assert peer.makefile("rb").readline() == b"hello\n"
                with contextlib.suppress(ConnectionError):  # it may have what it wanted
                    for at in range(len(reply)):
                        peer.send(reply[at : at + 1])
        out, _ = client.communicate(timeout=PATIENCE)
        assert out == b"Send:     hello\nreceived: HELLO\n"


# Makes its standard input its terminal, and becomes the command.
ON_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""


@pytest.mark.skipif(shutil.which("make") is None, reason="no make here")
class TestMakeRunEcho:
    """The verb itself, on a terminal of its own."""

    def test_echo_then_ctrl_c(self) -> None:
        pty = pytest.importorskip("pty")
        terminal, inside = pty.openpty()
        make = subprocess.Popen(
            [sys.executable, "-c", ON_TERMINAL, "make", "run-echo"],
            cwd=ROOT,
            env=environment(PORT="0", PYTHON=sys.executable),
            stdin=inside,
            stdout=inside,
            stderr=inside,
            start_new_session=True,
        )
        os.close(inside)
        try:
            console = Console(terminal)
            found = console.read_until(rb"listening on localhost port (\d+)")
            console.read_until(rb"Unix:.*\n" if hasattr(socket, "AF_UNIX") else rb"UDP:.*\n")
            port = found[1].decode()
            ask("hello", "SocketServer", "--port", port)
            console.read_until(rb"\('127\.0\.0\.1', \d+\) write: hello SocketServer")
            with socket.create_connection(("localhost", int(port)), PATIENCE) as half:
                half.sendall(b"half a li")
                os.write(terminal, b"\x03")
                assert make.wait(PATIENCE) == 0
            assert console.rest().replace(b"^C", b"").strip() == b""
        finally:
            if make.poll() is None:
                os.killpg(make.pid, signal.SIGKILL)
                make.wait()
            os.close(terminal)


class Console:
    """What has appeared on a terminal."""

    def __init__(self, terminal: int) -> None:
        self._terminal = terminal
        self._text = b""

    def read_until(self, pattern: bytes) -> "re.Match[bytes]":
        while (found := re.search(pattern, self._text)) is None:
            assert self._read(), f"not on the console: {pattern!r}; {self._text!r}"
        self._text = self._text[found.end() :]
        return found

    def rest(self) -> bytes:
        while self._read():
            pass
        return self._text

    def _read(self) -> bool:
        if not select.select([self._terminal], [], [], PATIENCE)[0]:
            return False
        try:
            data = os.read(self._terminal, 65536)
        except OSError:  # EIO: nobody has the terminal open any more
            data = b""
        self._text += data
        return bool(data)
