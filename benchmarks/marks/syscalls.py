"""System calls a request, counted by strace from outside.

With one connection every request needs its own wait, read and write, and three
is the least there is; with fifty, one wait serves many. `epoll_ctl` means that a
server asks for events anew, which the steady phase never needs.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from harness.contenders import OURS, PEERS, Contender
from harness.figures import Mark, Result, Summary
from harness.processes import BenchmarkError, Client, Server
from harness.rounds import interleave
from harness.settings import Settings

CONNECTIONS = (1, 50)
ATTACH_TIME = 10.0
#: What is rarer than this would be shown as 0.00.
SHOWN = 0.005

Calls = dict[str, float]


class TracingRefusedError(Exception):
    """The system does not let us trace a process that is ours."""


def syscalls(settings: Settings) -> Result:
    """Attach to each server when its connections are up, detach before they close."""
    result = Result(
        "syscalls",
        "System calls for one request, counted by `strace -f -c` in the steady phase.",
        ["server", "connections", "calls a request", "of them"],
    )
    if shutil.which("strace") is None:
        result.notes.append("skipped, strace is not installed")
        return result
    for connections in CONNECTIONS:
        try:
            _count(result, connections, settings)
        except TracingRefusedError as refusal:
            result.notes.append(f"skipped, strace may not attach here: {refusal}")
            break
    return result


def _count(result: Result, connections: int, settings: Settings) -> None:
    def measure(contender: Contender) -> Calls:
        with Server(contender) as server, Client(server) as client:
            client.tell(f"active {connections}")
            client.run(1, settings.warmup)
            requests = 0

            def talk() -> None:
                nonlocal requests
                requests = client.run(1, settings.seconds)

            calls = traced(server.pid, talk)
            return {name: count / requests for name, count in calls.items()}

    samples = interleave(result, (*OURS, *PEERS), 1, measure)
    for contender, (calls,) in samples.items():
        result.rows.append([contender.name, str(connections), f"{sum(calls.values()):.2f}", frequent(calls)])
        result.samples.setdefault(contender.name, {})[str(connections)] = calls
    for contender in OURS:
        name = f"syscalls: {contender.name}, {connections} at once"
        total = again = None
        if contender in samples:
            (calls,) = samples[contender]
            total, again = _rounded(sum(calls.values())), _rounded(calls.get("epoll_ctl", 0))
        result.marks.append(Mark(name, "at most", 3, total))
        result.marks.append(Mark(f"{name}, epoll_ctl", "at most", 0, again))


def frequent(calls: Calls) -> str:
    """Show which they are, but for those too rare to be shown."""
    return ", ".join(f"{name} {count:.2f}" for name, count in calls.items() if count >= SHOWN)


def _rounded(calls: float) -> Summary:
    """Round to a hundredth: the waits in which strace came and went are counted too."""
    return Summary.of([round(calls, 2)])


def traced(pid: int, action: Callable[[], None]) -> dict[str, int]:
    """Return how often which system call was made by a process during an action."""
    with tempfile.TemporaryDirectory() as folder:
        summary = Path(folder) / "summary"
        strace = subprocess.Popen(
            ["strace", "-f", "-c", "-o", summary, "-p", str(pid)],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            _await_tracer(pid, strace)
            action()
            strace.send_signal(signal.SIGINT)  # it detaches, then writes its summary
            strace.communicate(timeout=ATTACH_TIME)
        except subprocess.TimeoutExpired:
            raise BenchmarkError("strace did not detach") from None
        finally:
            strace.kill()
            strace.communicate()
        return _parse(summary.read_text())


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


def _parse(summary: str) -> dict[str, int]:
    """Read strace's table: `% time, seconds, usecs/call, calls, [errors,] syscall`."""
    calls: dict[str, int] = {}
    for line in summary.splitlines():
        match line.split():
            case [_, _, _, count, *_, name] if count.isdigit() and name != "total":
                calls[name] = int(count)
    return calls
