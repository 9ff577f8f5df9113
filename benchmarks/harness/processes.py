"""The processes of a measurement: pinned, bounded in every wait, ended by their pid."""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from types import MappingProxyType, TracebackType
from typing import Any

from harness.build import BENCHMARKS, CLIENT, build
from harness.contenders import Contender
from harness.settings import LINE_SIZE, cores

#: More than any start or any command takes; the client gives up on a stall before that.
PATIENCE = 30.0
#: From the moment that peers see a process's sockets close until it can be waited for.
DYING_TIME = 0.5

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class BenchmarkError(Exception):
    """A server died, an answer was wrong or something hung: there is no figure."""


class Child:
    """A process that is gone when its `with` block ends, however it ends; on one core, if given."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        core: int | None,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.name = name
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process

        def prepare() -> None:
            if core is not None:
                os.sched_setaffinity(0, {core})
            # Should we be killed ourselves, the child goes as well.
            _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            bufsize=0,
            env={**_neutral_environment(), **environment},
            start_new_session=True,  # Ctrl-C is for the harness, which ends the children
            preexec_fn=prepare,
        )

    @property
    def pid(self) -> int:
        return self.process.pid

    def read_line(self, timeout: float = PATIENCE) -> str:
        """Return the next line the child prints (each is printed by one write)."""
        assert self.process.stdout is not None
        readable, _, _ = select.select([self.process.stdout], [], [], timeout)
        if not readable:
            raise BenchmarkError(f"{self.name} said nothing for {timeout:.0f} s")
        line = self.process.stdout.readline().decode()
        if not line:
            raise BenchmarkError(f"{self.name} ended early{self._last_words()}")
        return line

    def must_live(self, suspicion: float = 0) -> None:
        """Raise if the child has ended, or ends within so many seconds."""
        try:
            status = self.process.wait(suspicion)
        except subprocess.TimeoutExpired:
            return
        raise BenchmarkError(f"{self.name} died with status {status}{self._last_words()}")

    def stop(self) -> None:
        """End the child, and its children, at once. What it did is already measured."""
        if self.process.returncode is None:
            os.killpg(self.pid, signal.SIGKILL)
            self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self._errors):
            if stream is not None:
                stream.close()

    def _last_words(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return f": {lines[-1]}" if lines else ""

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


def _neutral_environment() -> dict[str, str]:
    """Return our environment without what would slow down one of the servers.

    `PYTHONDEVMODE`, a debugging allocator and the like. The package that is
    measured is the one in this tree, installed or not.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "MALLOC_"))}
    return {**kept, "PYTHONPATH": str(BENCHMARKS.parent)}


class Server(Child):
    """A contender's program. The first line it prints is the port it listens on.

    It starts on any core, so that several start in half the time, and has one of its own from
    then on. *wrapper* is a command that runs the program's.
    """

    def __init__(self, contender: Contender, wrapper: Sequence[str] = ()) -> None:
        self.contender = contender
        super().__init__("the server", [*wrapper, *contender.command], None, contender.environment)

    def __enter__(self) -> Server:
        try:
            self.port = int(self.read_line())
            server_core, _ = cores()
            for thread in os.listdir(f"/proc/{self.pid}/task"):
                os.sched_setaffinity(int(thread), {server_core})
        except BaseException:
            self.stop()
            raise
        return self

    def pause(self) -> None:
        """Have it cost nothing, whatever it would do while nobody talks to it.

        Its children, if it forks, are left alone: they wait for their peers, and if we were killed
        there would be nobody to wake them up.
        """
        os.kill(self.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """End `pause`."""
        os.kill(self.pid, signal.SIGCONT)


class Client(Child):
    """The C client, connected to a server: it obeys commands and is still between them.

    Its lines have *size* bytes; *options* are those of its command line, `udp` and `echo`.
    """

    def __init__(self, server: Server, *options: str, size: int = LINE_SIZE) -> None:
        _, client_core = cores()
        self.server = server
        command = [str(build(CLIENT)), "127.0.0.1", str(server.port), str(size), *options]
        super().__init__("the client", command, client_core)

    def __enter__(self) -> Client:
        try:
            self._answer(PATIENCE)
        except BaseException:
            self.stop()
            raise
        return self

    def tell(self, command: str, timeout: float = PATIENCE) -> dict[str, Any]:
        """Have a command carried out and return the answer. Raises if it is an error."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(command.encode() + b"\n")
        except BrokenPipeError:
            self.must_live(DYING_TIME)
            raise
        return self._answer(timeout)

    def run(self, pipeline: int, seconds: float) -> int:
        """Let the active connections talk for so long; return the requests made."""
        return self._phase(f"run {pipeline} {seconds}", seconds)

    def roll(self, window: int, seconds: float) -> int:
        """The same with so many lines on their way on each of them, all the time."""
        return self._phase(f"roll {window} {seconds}", seconds)

    def churn(self, at_once: int, seconds: float) -> int:
        """Open, say a line and close for so long, so many at a time; return the requests made."""
        return self._phase(f"churn {at_once} {seconds}", seconds)

    def _phase(self, command: str, seconds: float) -> int:
        return int(self.tell(command, seconds + PATIENCE)["requests"])

    def _answer(self, timeout: float) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.read_line(timeout))
        self.server.must_live()
        if "error" in answer:
            self.server.must_live(DYING_TIME)  # then that is the cause, and better told
            raise BenchmarkError(f"{self.name}: {answer['error']}")
        return answer
