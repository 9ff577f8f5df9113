"""`lines-50`, one line at a time, and `lines-50-pipelined-16`, sixteen at once.

The first shows what a request costs when each needs its own wake-up, read and
write; the second what is left when those are shared, which is Python alone.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass

from harness.contenders import (
    ASYNCIO_PROTOCOL,
    ASYNCIO_PROTOCOL_TUNED,
    OURS,
    PEERS,
    STATE,
    STATE_AGAIN,
    UVLOOP_PROTOCOL,
    UVLOOP_STREAMS,
    Contender,
)
from harness.figures import Mark, Result, Summary, ratio
from harness.processes import Client, Server
from harness.readings import cpu_seconds
from harness.rounds import interleave
from harness.settings import LINE_SIZE, Settings

CONNECTIONS = 50
PIPELINE = 16


@dataclass(frozen=True)
class Sample:
    """One measured phase of one server."""

    cpu: float  # µs of the server's CPU time for a request, the kernel's work included
    rate: float  # requests a second
    busy: float  # share of its core that the server used; the rest it waited for the client


def measured_phase(server: Server, client: Client, pipeline: int, seconds: float) -> Sample:
    """Let the active connections talk, and divide what it cost the server by the requests.

    Both readings are made while the server is asleep, so nothing is counted that
    belongs to another phase.
    """
    cpu, wall = cpu_seconds(server.pid), time.perf_counter()
    requests = client.run(pipeline, seconds)
    cpu, wall = cpu_seconds(server.pid) - cpu, time.perf_counter() - wall
    return Sample(cpu / requests * 1e6, requests / wall, cpu / wall)


def lines(settings: Settings) -> Result:
    """50 connections, each waits for its answer before it asks again."""
    result, costs = _compare("lines-50", 1, settings)
    result.marks = [
        _mark(result, costs, ASYNCIO_PROTOCOL, 1.0),
        _mark(result, costs, ASYNCIO_PROTOCOL_TUNED, 1.0),
        _mark(result, costs, UVLOOP_STREAMS, 1.2),
    ]
    return result


def pipelined_lines(settings: Settings) -> Result:
    """50 connections, each asks 16 times at once."""
    result, costs = _compare("lines-50-pipelined-16", PIPELINE, settings)
    result.marks = [_mark(result, costs, UVLOOP_PROTOCOL, 0.5)]
    return result


Costs = dict[Contender, list[float]]


def _compare(name: str, pipeline: int, settings: Settings) -> tuple[Result, Costs]:
    result = Result(
        name,
        f"{CONNECTIONS} connections, {LINE_SIZE}-byte lines, {pipeline} a batch: "
        f"the server's CPU time for a request, median (min-max) of {settings.rounds} rounds.",
        ["server", "CPU µs a request", "requests/s", "busy", "CPU / state machine's"],
    )

    def measure(contender: Contender) -> Sample:
        with Server(contender) as server, Client(server) as client:
            client.tell(f"active {CONNECTIONS}")
            client.run(pipeline, settings.warmup)
            return measured_phase(server, client, pipeline, settings.seconds)

    contenders = (*OURS, *PEERS, ASYNCIO_PROTOCOL_TUNED, STATE_AGAIN)
    samples = interleave(result, contenders, settings.rounds, measure)
    costs = {contender: [sample.cpu for sample in of] for contender, of in samples.items()}
    for contender, of in samples.items():
        relative = _ratio(costs, contender, STATE)
        result.rows.append(
            [
                contender.name,
                Summary.of(costs[contender]).text(),
                f"{Summary.of([sample.rate for sample in of]).median:,.0f}",
                f"{Summary.of([sample.busy for sample in of]).median:.0%}",
                "" if relative is None else relative.text(),
            ]
        )
        result.samples[contender.name] = [asdict(sample) for sample in of]
    noise = _ratio(costs, STATE_AGAIN, STATE)
    if noise is not None:
        result.notes.append(f"noise floor, the state machine against itself: {noise.text()}")
    return result, costs


def _mark(result: Result, costs: Costs, peer: Contender, wanted: float) -> Mark:
    name = f"{result.name}: CPU of {peer.name} / {STATE.name}"
    return Mark(name, "at least", wanted, _ratio(costs, peer, STATE))


def _ratio(costs: Costs, above: Contender, below: Contender) -> Summary | None:
    if above in costs and below in costs:
        return ratio(costs[above], costs[below])
    return None
