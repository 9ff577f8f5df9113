"""`costs`: what each kind of server costs for each connection, the table to choose one by.

The same job, answering a line in upper case, on each of ours. Memory is that of the server's process
and its children, shared pages counted once, but not the kernel's own for sockets, threads and
processes. There is nothing here to be compared with and no mark.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

from harness.contenders import COROUTINE, STATE, Contender
from harness.figures import Result, Summary
from harness.processes import Client, Server
from harness.readings import family_cpu_seconds, family_memory, settled
from harness.rounds import interleave
from harness.settings import Settings

ACTIVE = 50
AT_ONCE = 4


@dataclass(frozen=True)
class Rate:
    """Something a second, and µs of CPU time for each."""

    rate: float
    cpu: float


@dataclass(frozen=True)
class Sample:
    """What one server process cost; nothing for several connections where one holds up all others."""

    idle: float | None  # KiB for each connection that is only there
    requests: Rate | None
    connections: Rate


def _ours(server: str) -> Contender:
    return Contender(server, "classic_stream.py", arguments=("reactor.socketserver", server, "Lines"))


BLOCKING = _ours("TCPServer")
#: How many idle connections each is weighed with.
IDLE = {
    BLOCKING: 0,
    _ours("ThreadingTCPServer"): 200,
    _ours("ForkingTCPServer"): 200,
    STATE: 5000,
    COROUTINE: 5000,
}


def costs(settings: Settings) -> Result:
    """Weigh idle connections, then time requests on open ones, then connections."""
    result = Result(
        "costs",
        f"What a connection costs: memory while idle ({', '.join(f'{n:,}' for n in IDLE.values())} of them); "
        f"requests on {ACTIVE} kept open; a new one for each request, {AT_ONCE} at a time. "
        f"CPU time is the server's and its children's; median (min-max) of {settings.long_rounds} rounds.",
        ["server", "KiB, idle", "requests/s", "CPU µs each", "connections/s", "CPU µs each"],
    )

    def measure(contender: Contender) -> Sample:
        several = contender != BLOCKING
        return Sample(
            _weigh(contender, IDLE[contender]) if several else None,
            _requests(contender, settings) if several else None,
            _connections(contender, settings),
        )

    for contender, of in interleave(result, list(IDLE), settings.long_rounds, measure).items():
        result.rows.append(
            [
                contender.name,
                _text([each.idle for each in of]),
                *_rates([each.requests for each in of]),
                *_rates([each.connections for each in of]),
            ]
        )
        result.samples[contender.name] = [asdict(sample) for sample in of]
    return result


def _weigh(contender: Contender, count: int) -> float:
    with Server(contender) as server, Client(server) as client:

        def used() -> int:
            return settled(lambda: family_memory(server.pid))

        client.tell(f"idle {count // 10} 1")  # pools and tables have grown
        before = used()
        client.tell(f"idle {count} 1")
        after = used()
        client.tell("check")
    return (after - before) / count


def _requests(contender: Contender, settings: Settings) -> Rate:
    with Server(contender) as server, Client(server) as client:
        client.tell(f"active {ACTIVE}")
        client.run(1, settings.warmup)
        return _timed(server, lambda: client.run(1, settings.seconds))


def _connections(contender: Contender, settings: Settings) -> Rate:
    with Server(contender) as server, Client(server) as client:
        client.tell("dismiss")
        client.churn(AT_ONCE, settings.warmup)
        return _timed(server, lambda: client.churn(AT_ONCE, settings.seconds))


def _timed(server: Server, talk: Callable[[], int]) -> Rate:
    cpu, wall = family_cpu_seconds(server.pid), time.perf_counter()
    requests = talk()
    cpu, wall = family_cpu_seconds(server.pid) - cpu, time.perf_counter() - wall
    return Rate(requests / wall, cpu / requests * 1e6)


def _text(samples: list[float | None], decimals: int = 1) -> str:
    known = [sample for sample in samples if sample is not None]
    return Summary.of(known).text(decimals) if known else "one at a time"


def _rates(samples: list[Rate | None]) -> tuple[str, str]:
    rates = [None if sample is None else sample.rate for sample in samples]
    return _text(rates, 0), _text([None if sample is None else sample.cpu for sample in samples])
