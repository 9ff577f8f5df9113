"""The key-value store and the clients that nobody here wrote: redis-cli and redis-benchmark."""

import os
import pty
import select
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.examples.processes import PATIENCE, Example, environment, receive_to_end


@pytest.fixture(scope="module")
def server() -> Iterator[Example]:
    with Example("kv") as server:
        yield server
        server.interrupt()


@pytest.fixture
def store(server: Example) -> Example:
    """One for all tests, empty for each."""
    assert say(server, "FLUSHALL") == b"+OK\r\n"
    return server


def say(store: Example, *lines: str) -> bytes:
    """The answers to inline commands."""
    with store.connect() as peer:
        peer.sendall("".join(f"{line}\r\n" for line in lines).encode())
        peer.shutdown(socket.SHUT_WR)
        return receive_to_end(peer)


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"no {name} here: Debian's package redis-tools has it")
    return found


def cli(store: Example, *args: str, typed: str = "") -> "subprocess.CompletedProcess[str]":
    command = [tool("redis-cli"), "-h", "127.0.0.1", "-p", str(store.port), *args]
    return subprocess.run(
        command, input=typed, env=environment(), capture_output=True, text=True, timeout=PATIENCE
    )


class TestCli:
    def test_commands_from_a_file(self, store: Example) -> None:
        done = cli(
            store,
            typed="SET greeting 'hello, world' EX 100\nGET greeting\nTTL greeting\n"
            "MSET a 1 b 2\nMGET a none b\nINCRBY a 41\nGET none\nNONSENSE\nPING\n",
        )
        answers = [
            "OK",
            "hello, world",
            "100",
            "OK",
            "1",
            "",
            "2",
            "42",
            "",
            "ERR unknown command 'NONSENSE'",
        ]
        assert [*answers, "", "PONG"] == done.stdout.splitlines()
        assert (done.returncode, done.stderr) == (0, "")

    def test_value_of_any_bytes_from_its_input(self, store: Example) -> None:
        """Its -x takes the last argument from the input, line ends and all."""
        assert cli(store, "-x", "SET", "k", typed="*1\r\n$4\r\nPING\r\n").stdout == "OK\n"
        assert say(store, "GET k") == b"$14\r\n*1\r\n$4\r\nPING\r\n\r\n"

    def test_all_keys_are_scanned(self, store: Example) -> None:
        cli(store, "MSET", "apple", "1", "pear", "2", "plum", "3")
        assert cli(store, "--scan", "--pattern", "p*").stdout.split() == ["pear", "plum"]

    def test_its_bulk_loader(self, store: Example) -> None:
        """Its --pipe sends a file of commands as it is, and counts the replies."""
        lines = "".join(f"*3\r\n$3\r\nSET\r\n$4\r\n{n}\r\n$1\r\nx\r\n" for n in range(1000, 6000))
        done = cli(store, "--pipe", typed=lines)
        assert done.stdout.splitlines()[-1] == "errors: 0, replies: 5000", done.stdout + done.stderr
        assert say(store, "DBSIZE") == b":5000\r\n"

    def test_resp3_is_refused_as_redis_5_does(self, store: Example) -> None:
        done = cli(store, "-3", "PING")
        assert "HELLO 3 failed: ERR unknown command 'HELLO'" in done.stdout + done.stderr

    def test_at_a_terminal(self, store: Example) -> None:
        """Here it asks for the documentation of all commands first, and has to be content with none."""
        command = [tool("redis-cli"), "-p", str(store.port)]
        ours, theirs = pty.openpty()
        try:
            with subprocess.Popen(
                command,
                stdin=theirs,
                stdout=theirs,
                stderr=theirs,
                env=environment(TERM="dumb", HOME=os.devnull),
                start_new_session=True,
            ) as process:
                try:
                    shown = read_until(ours, "> ")
                    for typed, answer in (("SET k 'hello world'", "OK"), ("get k", '"hello world"')):
                        os.write(ours, typed.encode() + b"\n")
                        shown = read_until(ours, f"{answer}\r\n")
                    os.write(ours, b"quit\n")
                    assert process.wait(PATIENCE) == 0, shown
                finally:
                    process.kill()
        finally:
            os.close(theirs)
            os.close(ours)
        assert say(store, "GET k") == b"$11\r\nhello world\r\n"


def read_until(terminal: int, end: str) -> str:
    """What is shown on a terminal, up to what is waited for."""
    shown = ""
    deadline = time.monotonic() + PATIENCE
    while end not in shown:
        ready, _, _ = select.select([terminal], [], [], max(0, deadline - time.monotonic()))
        assert ready, f"no {end!r} within {PATIENCE:g} s, but {shown!r}"
        shown += os.read(terminal, 4096).decode()
    return shown


@pytest.mark.parametrize("pipeline", [1, 16])
def test_benchmark_is_answered_and_every_increment_counts(store: Example, pipeline: int) -> None:
    count = 1600
    done = subprocess.run(
        [
            *(tool("redis-benchmark"), "-h", "127.0.0.1", "-p", str(store.port), "-t", "ping,set,get,incr"),
            *("-n", str(count), "-c", "20", "-P", str(pipeline), "-d", "100", "--csv"),
        ],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=3 * PATIENCE,
    )
    assert (done.returncode, done.stderr) == (0, "")
    tests = [line.split(",")[0].strip('"') for line in done.stdout.splitlines()[1:]]
    assert tests == ["PING_INLINE", "PING_MBULK", "SET", "GET", "INCR"]
    known = say(store, "GET counter:__rand_int__", "STRLEN key:__rand_int__")
    assert known == b"$4\r\n%d\r\n:100\r\n" % count
