"""The servers that are compared. All do the same job: answer a line in upper case, or echo it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path

from harness.build import LIMIT, build

SERVERS = Path(__file__).resolve().parent.parent / "servers"


@dataclass(frozen=True)
class Contender:
    """One server program, the name it has in tables, and what it needs."""

    name: str
    program: str
    package: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict, hash=False)
    arguments: tuple[str, ...] = ()
    #: Connections that it serves in reasonable time and memory: a process or a thread for each is dear.
    most: int = 1_000_000
    #: CPU time is its children's, too.
    forks: bool = False

    @property
    def path(self) -> Path:
        return SERVERS / self.program

    @property
    def command(self) -> list[str]:
        if self.path == LIMIT:
            return [str(build(LIMIT)), *self.arguments]
        return [sys.executable, str(self.path), *self.arguments]

    @property
    def missing(self) -> str | None:
        """Say why this one has to be skipped here, or return None."""
        if self.package is not None and find_spec(self.package) is None:
            return f"{self.name}: skipped, {self.package} is not installed"
        return None


STATE = Contender("reactor state machine", "reactor_state.py")
COROUTINE = Contender("reactor coroutine", "reactor_coroutine.py")
#: The same program under another name: how far it is from itself is the noise.
STATE_AGAIN = Contender("reactor state machine, again", "reactor_state.py")
UNLIMITED = Contender("reactor state machine, no limits", "reactor_state.py", arguments=("unlimited",))

C_LIMIT = Contender("the limit, C epoll", "limit.c", arguments=("lines",))

ASYNCIO_PROTOCOL = Contender("asyncio Protocol", "asyncio_protocol.py")
ASYNCIO_STREAMS = Contender("asyncio streams", "asyncio_streams.py")
#: asyncio receives into 256 KiB, which glibc's malloc maps and unmaps for every
#: single `recv` as long as the process is small, and that doubles the cost of a
#: request. It is what people get, so it stands in the table; but no more is proved
#: by it than that malloc has thresholds, so asyncio is shown without it as well.
MALLOC_TUNED = {"MALLOC_MMAP_THRESHOLD_": "1048576", "MALLOC_TRIM_THRESHOLD_": "16777216"}
ASYNCIO_PROTOCOL_TUNED = Contender(
    "asyncio Protocol, malloc tuned", "asyncio_protocol.py", environment=MALLOC_TUNED
)
UVLOOP_PROTOCOL = Contender("uvloop Protocol", "uvloop_protocol.py", "uvloop")
UVLOOP_STREAMS = Contender("uvloop streams", "uvloop_streams.py", "uvloop")
#: It goes around all its connections for each that speaks.
ASYNCORE = Contender("asyncore with poll", "asyncore_lines.py", "asyncore", most=1_000)
#: One program on either: ours, and what Python had or its frozen copy.
CHAT = Contender("reactor.compat.asynchat", "asynchat_lines.py", arguments=("reactor.compat.asynchat",))
CHAT_AGAIN = replace(CHAT, name="reactor.compat.asynchat, again")
CHAT_FROZEN = Contender("asynchat with poll", "asynchat_lines.py", "asynchat", arguments=("asynchat",))
GEVENT = Contender("gevent", "gevent_lines.py", "gevent")
TORNADO = Contender("Tornado", "tornado_lines.py", "tornado")
TWISTED = Contender("Twisted", "twisted_lines.py", "twisted")
TRIO = Contender("trio", "trio_lines.py", "trio")
CURIO = Contender("curio", "curio_lines.py", "curio")


def standard(server: str, handler: str = "Lines", most: int = 1_000_000, forks: bool = False) -> Contender:
    """Return a server of the standard library's `socketserver`."""
    arguments = ("socketserver", server, handler)
    return Contender(
        f"socketserver.{server}", "classic_stream.py", arguments=arguments, most=most, forks=forks
    )


THREADING = standard("ThreadingTCPServer", most=1_000)
FORKING = standard("ForkingTCPServer", most=100, forks=True)

#: Raw echo.
C_ECHO = Contender("the limit, C epoll", "limit.c", arguments=("echo",))
STATE_ECHO = Contender("reactor state machine", "reactor_echo.py")
STATE_ECHO_AGAIN = Contender("reactor state machine, again", "reactor_echo.py")
COROUTINE_ECHO = Contender("reactor coroutine", "reactor_echo_coroutine.py")
UVLOOP_ECHO = Contender("uvloop Protocol", "echo_protocol.py", "uvloop", arguments=("uvloop",))
UVLOOP_ECHO_STREAMS = Contender("uvloop streams", "echo_streams.py", "uvloop", arguments=("uvloop",))
ASYNCIO_ECHO = Contender("asyncio Protocol", "echo_protocol.py", arguments=("asyncio",))
ASYNCIO_ECHO_TUNED = Contender(
    "asyncio Protocol, malloc tuned", "echo_protocol.py", arguments=("asyncio",), environment=MALLOC_TUNED
)
ASYNCIO_ECHO_STREAMS = Contender("asyncio streams", "echo_streams.py", arguments=("asyncio",))

#: Datagrams in upper case.
C_UDP = Contender("the limit, C", "limit.c", arguments=("datagrams",))
REACTOR_UDP = Contender("ReactorUDPServer", "classic_datagram.py", arguments=("reactor", "ReactorUDPServer"))
REACTOR_UDP_AGAIN = Contender(
    "ReactorUDPServer, again", "classic_datagram.py", arguments=("reactor", "ReactorUDPServer")
)
STANDARD_UDP = Contender(
    "socketserver.UDPServer", "classic_datagram.py", arguments=("socketserver", "UDPServer")
)
UVLOOP_UDP = Contender("uvloop datagrams", "datagram_protocol.py", "uvloop", arguments=("uvloop",))
ASYNCIO_UDP = Contender("asyncio datagrams", "datagram_protocol.py", arguments=("asyncio",))
ASYNCIO_UDP_TUNED = Contender(
    "asyncio datagrams, malloc tuned",
    "datagram_protocol.py",
    arguments=("asyncio",),
    environment=MALLOC_TUNED,
)

OURS = (STATE, COROUTINE)
PEERS = (ASYNCIO_PROTOCOL, ASYNCIO_STREAMS, UVLOOP_PROTOCOL, UVLOOP_STREAMS)
FRAMEWORKS = (GEVENT, TORNADO, TWISTED, TRIO, CURIO)
#: All that answer lines, as tables have them.
LINES = (
    *(C_LIMIT, STATE, STATE_AGAIN, COROUTINE, UVLOOP_PROTOCOL, UVLOOP_STREAMS),
    *(ASYNCIO_PROTOCOL, ASYNCIO_PROTOCOL_TUNED, ASYNCIO_STREAMS, ASYNCORE, THREADING, FORKING),
    *FRAMEWORKS,
)


def classic(name: str, program: str, *arguments: str) -> tuple[Contender, Contender, Contender]:
    """Return one program with the standard module, with ours, and with ours again for the noise."""
    return (
        Contender(name, program, arguments=("socketserver", *arguments)),
        Contender(f"{name}, ours", program, arguments=("reactor.socketserver", *arguments)),
        Contender(f"{name}, ours again", program, arguments=("reactor.socketserver", *arguments)),
    )
