"""The servers that are compared. All do the same job: answer a line in upper case."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

SERVERS = Path(__file__).resolve().parent.parent / "servers"


@dataclass(frozen=True)
class Contender:
    """One server program, the name it has in tables, and what it needs."""

    name: str
    program: str
    package: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict, hash=False)
    arguments: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        return SERVERS / self.program

    @property
    def missing(self) -> str | None:
        """Say why this one has to be skipped here, or return None."""
        if self.package is not None and find_spec(self.package) is None:
            return f"{self.name}: skipped, {self.package} is not installed"
        return None


STATE = Contender("reactor state machine", "reactor_state.py")
COROUTINE = Contender("reactor coroutine", "reactor_coroutine.py")
ASYNCIO_PROTOCOL = Contender("asyncio Protocol", "asyncio_protocol.py")
ASYNCIO_STREAMS = Contender("asyncio streams", "asyncio_streams.py")

#: asyncio receives into 256 KiB, which glibc's malloc maps and unmaps for every
#: single `recv` as long as the process is small, and that doubles the cost of a
#: request. It is what people get, so it stands in the table; but no more is proved
#: by it than that malloc has thresholds, so asyncio is shown without it as well.
ASYNCIO_PROTOCOL_TUNED = Contender(
    "asyncio Protocol, malloc tuned",
    "asyncio_protocol.py",
    environment={"MALLOC_MMAP_THRESHOLD_": "1048576", "MALLOC_TRIM_THRESHOLD_": "16777216"},
)

UVLOOP_PROTOCOL = Contender("uvloop Protocol", "uvloop_protocol.py", "uvloop")
UVLOOP_STREAMS = Contender("uvloop streams", "uvloop_streams.py", "uvloop")

#: The same program under another name: how far it is from itself is the noise.
STATE_AGAIN = Contender("reactor state machine, again", "reactor_state.py")

OURS = (STATE, COROUTINE)
PEERS = (ASYNCIO_PROTOCOL, ASYNCIO_STREAMS, UVLOOP_PROTOCOL, UVLOOP_STREAMS)


def classic(name: str, program: str, *arguments: str) -> tuple[Contender, Contender, Contender]:
    """Return one program with the standard module, with ours, and with ours again for the noise."""
    return (
        Contender(name, program, arguments=("socketserver", *arguments)),
        Contender(f"{name}, ours", program, arguments=("reactor.socketserver", *arguments)),
        Contender(f"{name}, ours again", program, arguments=("reactor.socketserver", *arguments)),
    )
