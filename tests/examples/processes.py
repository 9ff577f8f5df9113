"""Examples in processes of their own, with a deadline for whatever they are waited for."""

import contextlib
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
#: Seconds after which whatever is waited for will not come.
PATIENCE = 10.0


#: What a `make` around the tests would tell the `make` in them, and the port that is asked for here.
NOT_OURS = ("PORT", "MAKEFLAGS", "MAKELEVEL", "MFLAGS")


def environment(**changes: str) -> dict[str, str]:
    """This process's environment for an example: PORT only if it is given here."""
    kept = {name: value for name, value in os.environ.items() if name not in NOT_OURS}
    return {**kept, "PYTHONPATH": str(ROOT), **changes}


def run(name: str, *args: str, **env: str) -> "subprocess.CompletedProcess[str]":
    """Run an example that ends by itself."""
    command = [sys.executable, "-X", "dev", str(EXAMPLES / f"{name}.py"), *args]
    return subprocess.run(
        command, env=environment(**env), cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE
    )


class Program:
    """A program that runs until it is told to end. Its console is read as it comes."""

    def __init__(
        self, *command: str, env: dict[str, str] | None = None, stdin: int = subprocess.DEVNULL
    ) -> None:
        self.process = subprocess.Popen(
            command,
            env=env,
            cwd=ROOT,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # a process group of its own, as a terminal would give it
        )
        self._out = _Lines(self.process.stdout)
        self._err = _Lines(self.process.stderr)

    def __enter__(self) -> "Program":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None or kind is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        rest = self._out.rest(), self._err.rest()
        if self.process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()
        if exc is not None:
            exc.add_note(f"left on the console of {self.process.args}: {rest[0]!r}, {rest[1]!r}")

    def line(self) -> str:
        """The next line of output."""
        return self._out.next()

    def line_with(self, part: str) -> str:
        """The next line of output that has *part* in it."""
        while part not in (line := self.line()):
            pass
        return line

    def error_line(self) -> str:
        """The next line of the standard error output."""
        return self._err.next()

    def type(self, text: str, *, end: bool = False) -> None:
        """Write to its standard input, if that was asked for; with *end*, nothing more will come."""
        assert self.process.stdin is not None
        self.process.stdin.write(text)
        self.process.stdin.flush()
        if end:
            self.process.stdin.close()

    def signal(self, number: int, *, group: bool = False) -> None:
        (os.killpg if group else os.kill)(self.process.pid, number)

    def end(self) -> tuple[int, str]:
        """Wait for it to end; its exit status and what it had to complain about."""
        status = self.process.wait(PATIENCE)
        return status, self._err.rest()


class Example(Program):
    """A server of examples/, serving by the time it is made. PORT is 0 unless it is given."""

    def __init__(self, name: str, *args: str, **env: str) -> None:
        super().__init__(
            sys.executable,
            "-X",
            "dev",
            str(EXAMPLES / f"{name}.py"),
            *args,
            env=environment(**{"PORT": "0", **env}),
        )
        try:
            self.greeting = self.line()
            found = re.search(r"localhost port (\d+)", self.greeting)
            assert found is not None, self.greeting
        except BaseException as exc:
            self.__exit__(type(exc), exc, None)
            raise
        self.port = int(found[1])

    def __enter__(self) -> "Example":
        return self

    # Python raises KeyboardInterrupt wherever it is: in the hooks of ``os.fork`` it is lost, between
    # ``accept`` and the line that could close it a socket is. So interrupts are sent to one who waits.

    def has_taken(self, peer: socket.socket) -> bool:
        """Whether it has accepted *peer* and read all that *peer* sent."""
        table = Path("/proc/net/tcp")
        if not table.exists():
            pytest.skip("only Linux tells what a server has read")
        address = f":{peer.getpeername()[1]:04X}", f":{peer.getsockname()[1]:04X}"
        for line in table.read_text().splitlines():
            fields = line.split()
            if (fields[1][-5:], fields[2][-5:]) == address:
                unread, inode = fields[4].split(":")[1], fields[9]
                return int(unread, 16) == 0 and inode != "0"
        return False

    def wait_until_it_waits(self) -> None:
        """Until the process sleeps, where the system says so."""
        stat = Path(f"/proc/{self.process.pid}/stat")
        if stat.exists():
            wait_until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "S", "it waits")

    def interrupt(self, *, group: bool = False) -> None:
        """Ctrl-C: it has to end at once, without complaint."""
        self.wait_until_it_waits()
        self.signal(signal.SIGINT, group=group)
        assert self.end() == (0, "")

    def connect(self, kind: int = socket.SOCK_STREAM) -> socket.socket:
        peer = socket.socket(socket.AF_INET, kind)
        peer.settimeout(PATIENCE)
        peer.connect(("localhost", self.port))
        return peer


class _Lines:
    """The lines of a pipe, read by a thread, so that waiting for one can have a deadline."""

    def __init__(self, pipe: "IO[str] | None") -> None:
        assert pipe is not None
        self._pipe = pipe
        self._queue: queue.Queue[str | None] = queue.Queue()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        for line in self._pipe:
            self._queue.put(line)
        self._queue.put(None)

    def next(self) -> str:
        try:
            line = self._queue.get(timeout=PATIENCE)
        except queue.Empty:
            raise TimeoutError(f"no line within {PATIENCE:g} s") from None
        if line is None:
            self._queue.put(None)
            raise EOFError("the program has ended its output")
        return line.rstrip("\n")

    def rest(self) -> str:
        """All that is left, once nobody writes to the pipe any more."""
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "somebody still holds the pipe"
        self._pipe.close()
        lines = []
        while (line := self._queue.get()) is not None:
            lines.append(line)
        self._queue.put(None)
        return "".join(lines)


def wait_until(true: Callable[[], Any], what: str) -> None:
    """Ask until it is true."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, f"not within {PATIENCE:g} s: {what}"
        time.sleep(0.005)


def refuses(port: int) -> bool:
    """Whether nobody listens on *port*."""
    with socket.socket() as peer:
        return peer.connect_ex(("localhost", port)) != 0


def receive_to_end(peer: socket.socket) -> bytes:
    """All that *peer* sends until it ends its output."""
    return b"".join(_chunks(peer))


def _chunks(peer: socket.socket) -> Iterator[bytes]:
    while data := peer.recv(65536):
        yield data
