"""What the kernel knows of a process and its children: memory, CPU time, descriptors. Linux."""

from __future__ import annotations

import os
import time
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def _status(pid: int, field: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1])
    return 0  # a zombie has no memory


def resident(pid: int) -> int:
    """KiB in memory now."""
    return _status(pid, "VmRSS")


def anonymous(pid: int) -> int:
    """KiB in memory now that are no file's. A forked child is born with as much as its parent has."""
    return _status(pid, "RssAnon")


def peak(pid: int) -> int:
    """KiB in memory at most, since the start or `reset_peak`."""
    return _status(pid, "VmHWM")


def reset_peak(pid: int) -> None:
    """Count the peak from now on, where the kernel lets us."""
    try:
        Path(f"/proc/{pid}/clear_refs").write_text("5")
    except OSError:
        pass


def children(pid: int) -> list[int]:
    """A process's children, those that nobody has collected too."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            found += [int(child) for child in (task / "children").read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            pass  # a thread that has just ended
    return found


def cpu_seconds(pid: int) -> float:
    """CPU time of a process, its threads and its children, of those that have ended too. Nanoseconds
    for what lives, ticks of 10 ms for children that have been collected."""
    collected = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[13:15]
    return sum(map(_clock, [pid, *children(pid)])) + sum(map(int, collected)) / _TICKS


def _clock(pid: int) -> float:
    """Another process's CPU clock, whose number clock_getcpuclockid(3) makes like this."""
    try:
        return time.clock_gettime(~pid << 3 | 2)
    except OSError:  # a child that has just ended
        return 0.0


def descriptors(pid: int) -> list[int]:
    """The descriptors that a process has open."""
    return sorted(int(fd) for fd in os.listdir(f"/proc/{pid}/fd"))


def threads(pid: int) -> int:
    """How many threads a process has."""
    return len(os.listdir(f"/proc/{pid}/task"))


def is_running(pid: int) -> bool:
    """Whether any thread of a process wants a core at this moment, however many others want one too."""
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            if (task / "stat").read_text().rpartition(")")[2].split()[0] == "R":
                return True
    except (FileNotFoundError, ProcessLookupError):
        pass  # the process or the thread has just ended
    return False


#: States in /proc/net/tcp of connections that were closed at their own side.
_CLOSED = {"04", "05", "06", "07", "09", "0B"}


def is_held(port: int, peer_port: int) -> bool:
    """Whether the connection from *peer_port* to *port* of this machine is open, or waits to be accepted,
    at the side of *port*. One that only the kernel still looks after has no inode any more."""
    wanted = f":{port:04X}", f":{peer_port:04X}"
    with open("/proc/net/tcp") as lines:
        for line in lines:
            if wanted[1] in line:
                _, ours, theirs, state, *_ = fields = line.split()
                if ours.endswith(wanted[0]) and theirs.endswith(wanted[1]):
                    return fields[9] != "0" or state not in _CLOSED
    return False
