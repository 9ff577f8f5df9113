"""The programs that are abused, and what can be asked of each."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

_PROGRAMS = Path(__file__).parent / "programs"


@dataclass(frozen=True)
class Program:
    """A server in `programs/`. *kind*: ``lines``, ``datagrams`` or ``room``. *ours*: it makes the promises
    that are in the design. *waits_in*: what waits for a client: a ``row``, a ``thread``, a ``process``.
    *crowd*: connections that it has to stand at once. *queue*: how many may wait to be accepted, as it
    asks the kernel. *needs*: a module that has to be installed."""

    name: str
    label: str
    kind: str = "lines"
    ours: bool = False
    waits_in: str = "row"
    crowd: int = 10_000
    queue: int = 100
    needs: str | None = None

    @property
    def path(self) -> Path:
        return _PROGRAMS / f"{self.name}.py"

    @property
    def forks(self) -> bool:
        return self.waits_in == "process"

    @property
    def available(self) -> bool:
        return self.needs is None or importlib.util.find_spec(self.needs) is not None


PROGRAMS = {
    program.name: program
    for program in (
        Program("reactor_state", "reactor: states", ours=True, queue=1024),
        Program("reactor_coroutine", "reactor: coroutines", ours=True, queue=1024),
        Program("threading_limits", "reactor: threads", ours=True, waits_in="thread", crowd=500, queue=5),
        Program("forking_limits", "reactor: processes", ours=True, waits_in="process", crowd=30, queue=5),
        Program("stdlib_threading", "socketserver", waits_in="thread", crowd=500, queue=5),
        Program("asyncio_streams", "asyncio"),
        Program("uvloop_streams", "uvloop", needs="uvloop"),
        Program("asyncore_lines", "asyncore", needs="asynchat", queue=5),
        Program("reactor_datagram", "reactor: states", kind="datagrams", ours=True),
        Program("stdlib_datagram", "socketserver", kind="datagrams"),
        Program("asyncio_datagram", "asyncio", kind="datagrams"),
        Program("uvloop_datagram", "uvloop", kind="datagrams", needs="uvloop"),
        Program("reactor_room_state", "reactor: states", kind="room", ours=True, queue=1024),
        Program("reactor_room_coroutine", "reactor: coroutines", kind="room", ours=True, queue=1024),
        Program("asyncio_room", "asyncio", kind="room"),
        Program("uvloop_room", "uvloop", kind="room", needs="uvloop"),
        Program("asyncore_room", "asyncore", kind="room", needs="asynchat", queue=5),
    )
}
