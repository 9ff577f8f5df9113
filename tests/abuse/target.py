"""`Target`: the server under abuse, in a process of its own."""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from tests.abuse import readings
from tests.abuse.contenders import Program

ROOT = Path(__file__).parent.parent.parent
_LAUNCH = Path(__file__).with_name("launch.py")

#: Seconds that only a broken server, or a machine that stands still, takes.
PATIENCE = 15.0
#: Descriptors that every program has open. With a limit of so many, there is none below it to open.
_STANDARD = 3
#: Seconds between two looks at something that is waited for.
POLL = 0.002


def until(condition: Callable[[], Any], words: str, within: float = PATIENCE, *, poll: float = POLL) -> Any:
    """Wait until *condition* holds and return what it gave; `AssertionError` with *words* else."""
    deadline = time.monotonic() + within
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{words}: not within {within:g} s"
        time.sleep(poll)
    return found


def _environment() -> dict[str, str]:
    """The same for every program: nothing of Python's or the allocator's set from outside."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "MALLOC_"))}
    return {**kept, "PYTHONPATH": str(ROOT)}


class Target:
    """A program of `contenders`, running. A context manager: at the end it is killed with its children.

    *settings*: limits (`settings.py`). *lifetime*: seconds after which it ends in any case. What it
    writes to stderr, its log, goes to a file, so that no flood can block it.
    """

    def __init__(
        self, program: Program, settings: Mapping[str, Any] | None = None, *, lifetime: int = 120
    ) -> None:
        self.program = program
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        command = [sys.executable, "-IS", str(_LAUNCH), str(lifetime), str(program.path)]
        self.process = subprocess.Popen(
            [*command, json.dumps(dict(settings))] if settings else command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=_environment(),
            start_new_session=True,  # a group of its own, to be killed whole
        )
        self.pid = self.process.pid
        self.started = time.monotonic()
        self._children = _Children(self.pid) if program.forks else None
        self._resident = 0

    def __enter__(self) -> Self:
        try:
            self.port = int(self._first_line())
            self.begin()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._children is not None:
            self._children.stop()
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGCONT)
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait(PATIENCE)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self._log.close()

    def _first_line(self) -> bytes:
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE)
        line = self.process.stdout.readline() if ready else b""
        assert line, f"{self.program.name} did not start: {self.log()}"
        return line

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.port

    # What it costs

    def begin(self) -> None:
        """Measure from now on."""
        readings.reset_peak(self.pid)
        self._resident = readings.resident(self.pid)
        self._cpu = readings.cpu_seconds(self.pid)
        if self._children is not None:
            self._children.watch(readings.anonymous(self.pid))

    def growth(self) -> float:
        """MiB by which its memory, and that of its children beyond what they were born with, grew at most."""
        grown = readings.peak(self.pid) - self._resident
        if self._children is not None:
            grown += self._children.peak
        return max(0, grown) / 1024

    def cpu_seconds(self) -> float:
        """CPU time since `begin`, its threads' and children's too."""
        return readings.cpu_seconds(self.pid) - self._cpu

    def load(self, seconds: float) -> float:
        """The share of one core that it takes in the next *seconds*."""
        begin, used = time.monotonic(), readings.cpu_seconds(self.pid)
        time.sleep(seconds)  # what is measured is this stretch of time
        return (readings.cpu_seconds(self.pid) - used) / (time.monotonic() - begin)

    def is_running(self) -> bool:
        """Whether it, or a child of it, wants a core at this moment."""
        return any(map(readings.is_running, [self.pid, *readings.children(self.pid)]))

    def descriptors(self) -> int:
        """How many descriptors it has open."""
        return len(readings.descriptors(self.pid))

    def children(self) -> int:
        """How many children it has, those that nobody has collected too."""
        return len(readings.children(self.pid))

    def threads(self) -> int:
        """How many threads it has."""
        return readings.threads(self.pid)

    # What it says

    def log(self) -> str:
        """What it has written to stderr."""
        size = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), size, 0).decode(errors="replace")

    def log_lines(self) -> list[str]:
        return self.log().splitlines()

    # What is done to it

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def must_live(self, suspicion: float = 0) -> None:
        """Fail if it has ended, or ends within so many seconds."""
        try:
            status = self.process.wait(suspicion)
        except subprocess.TimeoutExpired:
            return
        last_words = "".join(self.log_lines()[-1:])
        raise AssertionError(f"it died, status {status}: {last_words}")

    def send_signal(self, signum: int) -> None:
        self.process.send_signal(signum)

    def ended(self, within: float = PATIENCE) -> int:
        """Wait for its end; return its status."""
        try:
            return self.process.wait(within)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it did not end within {within:g} s") from None

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """While inside, it does not run."""
        self.send_signal(signal.SIGSTOP)
        try:
            until(lambda: " T " in Path(f"/proc/{self.pid}/stat").read_text(), "it does not stop")
            yield
        finally:
            self.send_signal(signal.SIGCONT)

    @contextmanager
    def no_descriptor_free(self) -> Iterator[Callable[[], None]]:
        """While inside it can open no descriptor, until what is given is called. Those it has stay open."""
        before = resource.prlimit(self.pid, resource.RLIMIT_NOFILE)

        def give_room() -> None:
            if self.alive:
                resource.prlimit(self.pid, resource.RLIMIT_NOFILE, before)

        resource.prlimit(self.pid, resource.RLIMIT_NOFILE, (_STANDARD, before[1]))
        try:
            yield give_room
        finally:
            give_room()


class _Children:
    """Looks after the memory of a process's children, which live too short to be asked at the end.
    `peak`: KiB by which all that lived at once had grown beyond what they were born with."""

    def __init__(self, pid: int) -> None:
        self.peak = 0
        self._pid = pid
        self._born_with = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def watch(self, born_with: int) -> None:
        self._born_with, self.peak = born_with, 0
        if not self._thread.is_alive():
            self._thread.start()

    def stop(self) -> None:
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join(PATIENCE)

    def _look(self) -> None:
        while not self._over.wait(0.05):
            try:
                found = readings.children(self._pid)
            except OSError:
                return  # its parent has ended
            grown = sum(max(0, self._size(child) - self._born_with) for child in found)
            self.peak = max(self.peak, grown)

    @staticmethod
    def _size(child: int) -> int:
        try:
            return readings.anonymous(child)
        except OSError:
            return 0
