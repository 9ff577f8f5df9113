"""System calls, counted from outside by `strace -f -c`.

It makes them slow, but not more or fewer, except where threads wait for each other.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from harness.processes import BenchmarkError

ATTACH_TIME = 10.0
#: What is rarer than this would be shown as 0.00.
SHOWN = 0.005

#: How often which call was made for a request.
Calls = dict[str, float]


class TracingRefusedError(Exception):
    """The system does not let us trace a process that is ours."""


def can_trace() -> bool:
    """Tell whether strace is installed."""
    return shutil.which("strace") is not None


def frequent(calls: Calls) -> str:
    """Show which they are, but for those too rare to be shown."""
    return ", ".join(f"{name} {count:.2f}" for name, count in calls.items() if count >= SHOWN)


def traced(pids: Sequence[int], action: Callable[[], None]) -> dict[str, int]:
    """Return how often which system call was made by processes, and children they fork, in an action."""
    attached = [argument for pid in pids for argument in ("-p", str(pid))]
    with tempfile.TemporaryDirectory() as folder:
        summary = Path(folder) / "summary"
        strace = subprocess.Popen(
            ["strace", "-f", "-c", "-o", summary, *attached],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            for pid in pids:
                _await_tracer(pid, strace)
            action()
            strace.send_signal(signal.SIGINT)  # it detaches, then writes its summary
            strace.communicate(timeout=ATTACH_TIME)
        except subprocess.TimeoutExpired:
            raise BenchmarkError("strace did not detach") from None
        finally:
            strace.kill()
            strace.communicate()
        return parse(summary.read_text())


def _await_tracer(pid: int, strace: subprocess.Popen[bytes]) -> None:
    """Wait until every thread of the process is traced."""
    deadline = time.monotonic() + ATTACH_TIME
    while not all(map(_tracer, Path(f"/proc/{pid}/task").iterdir())):
        if strace.poll() is not None:
            _, errors = strace.communicate()
            raise TracingRefusedError(errors.decode(errors="replace").strip().splitlines()[-1])
        if time.monotonic() > deadline:
            raise BenchmarkError("strace did not attach")
        time.sleep(0.01)


def _tracer(thread: Path) -> int:
    for line in (thread / "status").read_text().splitlines():
        if line.startswith("TracerPid:"):
            return int(line.split()[1])
    return 0


def parse(summary: str) -> dict[str, int]:
    """Read strace's table: `% time, seconds, usecs/call, calls, [errors,] syscall`."""
    calls: dict[str, int] = {}
    for line in summary.splitlines():
        match line.split():
            case [_, _, _, count, *_, name] if count.isdigit() and name != "total":
                calls[name] = int(count)
    return calls
