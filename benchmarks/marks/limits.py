"""`limits`: what it costs that every connection has limits and deadlines: instructions for a request.

Against the same server with every limit `None`. Instructions, because three per cent of the time is
less than the noise. `perf stat` counts them where the machine lets it; else valgrind's callgrind does,
in user mode, for so many requests and for twice as many: the difference has no start and no end in it.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from harness.contenders import STATE, UNLIMITED, Contender
from harness.figures import Mark, Result, Summary
from harness.processes import PATIENCE, BenchmarkError, Client, Server
from harness.settings import Settings

#: Seconds until valgrind has written what it has counted.
WRITING_TIME = 30.0
#: Requests, not counted, after which caches and specialised bytecode are what they will be.
WARMUP = 500
#: With perf the server is as fast as ever; so many times more requests are some seconds, with sweeps in them.
QUICKER = 20


def limits(settings: Settings) -> Result:
    """One connection, line after line: every request is a wake-up, a read and a write."""
    result = Result(
        "limits",
        "Instructions in user mode for a request, lines on one connection.",
        ["server", "instructions", "/ no limits"],
    )
    relative = None
    try:
        found = _count(result, settings.counted)
    except (BenchmarkError, OSError) as error:
        result.failures.append(str(error))
        found = None
    if found is not None:
        relative = Summary.of([found[STATE] / found[UNLIMITED]])
        for contender, instructions in found.items():
            ratio = f"{instructions / found[UNLIMITED]:.3f}"
            result.rows.append([contender.name, f"{instructions:,.0f}", ratio])
            result.samples[contender.name] = instructions
    result.marks = [Mark("limits: instructions with limits / with none", "at most", 1.03, relative)]
    return result


def _count(result: Result, requests: int) -> dict[Contender, float] | None:
    if shutil.which("perf") is not None and _perf_counts():
        result.notes.append("counted by perf stat")
        return {contender: _perf(contender, requests) for contender in (STATE, UNLIMITED)}
    if shutil.which("valgrind") is not None:
        result.notes.append("counted by valgrind, because perf counts no instructions on this machine")
        return _callgrind(requests)
    result.notes.append("skipped, perf counts no instructions here and valgrind is not installed")
    return None


def _perf_counts() -> bool:
    try:
        return instructions_of_perf(_perf_stat(["true"])) is not None
    except (OSError, subprocess.SubprocessError):
        return False


def _perf_stat(arguments: list[str]) -> str:
    command = ["perf", "stat", "-x", ",", "-e", "instructions:u", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=WRITING_TIME).stderr


def instructions_of_perf(report: str) -> int | None:
    """Return what `perf stat -x ,` has counted, if it has: `123,,instructions:u,...`."""
    for line in report.splitlines():
        count, _, rest = line.partition(",")
        if "instructions" in rest and count.isdigit():
            return int(count)
    return None


def _perf(contender: Contender, requests: int) -> float:
    with Server(contender) as server, Client(server) as client:
        client.tell("active 1")
        client.tell(f"laps {WARMUP}")
        command = ["perf", "stat", "-x", ",", "-e", "instructions:u", "-p", str(server.pid)]
        perf = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            _await_counter(perf)
            client.tell(f"laps {QUICKER * requests}", timeout=4 * PATIENCE)
            perf.send_signal(signal.SIGINT)
            _, report = perf.communicate(timeout=WRITING_TIME)
        except subprocess.TimeoutExpired:
            raise BenchmarkError("perf did not detach") from None
        finally:
            perf.kill()
            perf.communicate()
    count = instructions_of_perf(report)
    if count is None:
        raise BenchmarkError(f"perf counted nothing: {report.strip()}")
    return count / (QUICKER * requests)


def _await_counter(perf: subprocess.Popen[str]) -> None:
    """Wait until perf holds a counter; it says nothing when it has attached."""
    deadline = time.monotonic() + WRITING_TIME
    while not any(map(_is_counter, Path(f"/proc/{perf.pid}/fd").iterdir())):
        if perf.poll() is not None or time.monotonic() > deadline:
            raise BenchmarkError("perf did not attach")
        time.sleep(0.01)


def _is_counter(descriptor: Path) -> bool:
    try:
        return "perf_event" in os.readlink(descriptor)
    except OSError:  # closed since it was listed
        return False


def _callgrind(requests: int) -> dict[Contender, float]:
    """All four start together, on all cores: what they count does not depend on how fast they are."""
    with Server(STATE):
        pass  # now every module is compiled, and none of the four has to do it
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        runs: list[tuple[Contender, int, Path, Server]] = []
        for contender in (STATE, UNLIMITED):
            for count in (requests, 2 * requests):
                profile = Path(folder) / f"{len(runs)}"
                runs.append((contender, count, profile, Server(contender, _wrapper(profile))))
                stack.callback(runs[-1][-1].stop)
        totals: dict[Contender, list[int]] = {STATE: [], UNLIMITED: []}
        for contender, count, profile, server in runs:
            stack.enter_context(server)
            with Client(server) as client:
                client.tell("active 1")
                client.tell(f"laps {WARMUP + count}")
                server.process.send_signal(signal.SIGINT)  # as Ctrl-C: it closes, and valgrind writes
                try:
                    server.process.wait(WRITING_TIME)
                except subprocess.TimeoutExpired:
                    raise BenchmarkError("valgrind did not end") from None
            totals[contender].append(instructions_of_callgrind(profile.read_text()))
    return {contender: (twice - once) / requests for contender, (once, twice) in totals.items()}


def _wrapper(profile: Path) -> list[str]:
    valgrind = ["valgrind", "--quiet", "--tool=callgrind", f"--callgrind-out-file={profile}"]
    return ["env", "PYTHONHASHSEED=0", *valgrind]


def instructions_of_callgrind(profile: str) -> int:
    """Return the sum that callgrind's file ends with: `totals: 123`."""
    for line in reversed(profile.splitlines()):
        name, _, count = line.partition(":")
        if name in ("totals", "summary"):
            return int(count)
    raise BenchmarkError("callgrind wrote no sum")
