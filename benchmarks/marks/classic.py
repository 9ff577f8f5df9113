"""The classic servers, `socketserver`'s and ours: the same program, the same requests.

`blocking`, `closing`, `threading`, `forking`, `udp`, `threading-udp` and `handle-request`, a
table each. A request is a line and its answer; except for `blocking` and the datagrams each has
a connection of its own, which the server closes. What is wanted is that ours is no dearer, within
the noise: how far ours is from itself in a round, half the time.

The differences are small, so the turns are: the servers of a round are up together, and each works
for a moment while the others sleep, then the next, many times over.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from statistics import median

from harness.contenders import Contender, classic
from harness.figures import Mark, Result, Summary, ratio
from harness.processes import BenchmarkError, Client, Server
from harness.readings import family_cpu_seconds, user_seconds
from harness.rounds import interleave, progress
from harness.settings import LINE_SIZE, Settings
from harness.tracing import Calls, TracingRefusedError, can_trace, frequent, traced

#: Peers at a time, where there may be more than one: fewer than socketserver's listen backlog of 5.
AT_ONCE = 4
#: How often each server of a round has its turn.
TURNS = 10


@dataclass(frozen=True)
class Work:
    """What a server is made to do: a program's arguments, and how the client talks to it."""

    name: str
    about: str
    program: str
    arguments: tuple[str, ...]
    talk: Callable[[Client, float], int]
    peers: int = 0  # connections that are kept open
    options: tuple[str, ...] = ()  # the client's
    forks: bool = False

    def contenders(self) -> tuple[Contender, Contender, Contender]:
        return classic(
            self.arguments[0] if self.arguments else "handle_request", self.program, *self.arguments
        )

    def begin(self, client: Client) -> None:
        """Bring the client to where it can talk: the probe would keep a blocking server for itself."""
        client.tell("dismiss")
        if self.peers:
            client.tell(f"active {self.peers}")


def _kept(client: Client, seconds: float) -> int:
    return client.run(1, seconds)


def _churning(client: Client, seconds: float) -> int:
    return client.churn(AT_ONCE, seconds)


STREAM, DATAGRAM = "classic_stream.py", "classic_datagram.py"
WORKS = {
    work.name: work
    for work in (
        Work("blocking", "one connection, line after line", STREAM, ("TCPServer", "Lines"), _kept, peers=1),
        Work("closing", "a connection for each line", STREAM, ("TCPServer", "Line"), _churning),
        Work("threading", "a connection for each line", STREAM, ("ThreadingTCPServer", "Line"), _churning),
        Work(
            "forking",
            "a connection for each line, children counted",
            STREAM,
            ("ForkingTCPServer", "Line"),
            _churning,
            forks=True,
        ),
        Work(
            "udp", f"datagrams of {AT_ONCE} peers", DATAGRAM, ("UDPServer",), _kept, AT_ONCE, options=("udp",)
        ),
        Work(
            "threading-udp",
            f"datagrams of {AT_ONCE} peers",
            DATAGRAM,
            ("ThreadingUDPServer",),
            _kept,
            AT_ONCE,
            options=("udp",),
        ),
        Work("handle-request", "a connection for each line", "classic_handle_request.py", (), _churning),
    )
}


@dataclass(frozen=True)
class Sample:
    """One measured phase of one server."""

    cpu: float  # µs of CPU time for a request: the server's and its children's, the kernel's work included
    user: float  # and of it the server's own in user mode, roughly
    rate: float  # requests a second
    busy: float  # share of its core that was used


def classic_benchmarks() -> dict[str, Callable[[Settings], Result]]:
    """Return one benchmark for each work, and the count of their system calls."""
    compared = {name: _comparison(work) for name, work in WORKS.items()}
    return {**compared, "classic-syscalls": classic_syscalls}


def _comparison(work: Work) -> Callable[[Settings], Result]:
    return lambda settings: _compare(work, settings)


def _compare(work: Work, settings: Settings) -> Result:
    result = Result(
        f"classic-{work.name}",
        f"{work.about}, {LINE_SIZE} bytes: CPU time for a request, "
        f"median (min-max) of {settings.rounds} rounds.",
        ["server", "CPU µs a request", "in user mode", "requests/s", "busy", "standard / ours"],
    )
    standard, ours, again = contenders = work.contenders()
    samples = _rounds(result, work, contenders, settings)
    costs = {contender: [sample.cpu for sample in of] for contender, of in samples.items()}
    relative = ratio(costs[standard], costs[ours]) if standard in costs and ours in costs else None
    for contender, of in samples.items():
        result.rows.append(
            [
                contender.name,
                Summary.of(costs[contender]).text(),
                "" if work.forks else Summary.of([sample.user for sample in of]).text(),
                f"{Summary.of([sample.rate for sample in of]).median:,.0f}",
                f"{Summary.of([sample.busy for sample in of]).median:.0%}",
                relative.text(3) if contender is ours and relative is not None else "",
            ]
        )
        result.samples[contender.name] = [asdict(sample) for sample in of]
    wanted = 1.0
    if ours in costs and again in costs:
        noise = _noise(costs[again], costs[ours])
        wanted = round(1.0 - noise, 3)
        result.notes.append(
            f"noise floor, ours against itself: {ratio(costs[again], costs[ours]).text(3)}, "
            f"half the time within {noise:.1%}"
        )
    result.marks = [Mark(f"{result.name}: CPU of standard / ours", "at least", wanted, relative)]
    return result


def _noise(again: list[float], costs: list[float]) -> float:
    return median(abs(a / b - 1.0) for a, b in zip(again, costs, strict=True))


def _rounds(
    result: Result, work: Work, contenders: Sequence[Contender], settings: Settings
) -> dict[Contender, list[Sample]]:
    """Return each contender's samples; none at all if one of them fails."""
    samples: dict[Contender, list[Sample]] = {contender: [] for contender in contenders}
    try:
        for number in range(settings.rounds):
            progress(f"{result.name}: round {number + 1} of {settings.rounds}")
            shift = number % len(contenders)
            order = [*contenders[shift:], *contenders[:shift]]
            for contender, sample in zip(order, _round(work, order, settings), strict=True):
                samples[contender].append(sample)
    except (BenchmarkError, OSError) as error:  # OSError: gone while it was read
        result.failures.append(str(error))
        samples = {}
    progress("")
    return samples


def _round(work: Work, contenders: Sequence[Contender], settings: Settings) -> list[Sample]:
    with ExitStack() as stack:
        phases = []
        for contender in contenders:
            server = stack.enter_context(Server(contender))
            client = stack.enter_context(Client(server, *work.options))
            work.begin(client)
            work.talk(client, settings.warmup)
            phases.append(_Phase(work, server, client))
        for turn in range(TURNS):
            # There and back again: none always follows the same neighbour.
            for phase in phases[:: -1 if turn % 2 else 1]:
                phase.go_on(2 * settings.seconds / TURNS)
        return [phase.sample() for phase in phases]


class _Phase:
    """What one server does in a round, and what that costs.

    Its CPU time is read before its first turn and after its last: between them it sleeps, and the
    ticks that children's time is counted in are too coarse for a single turn.
    """

    def __init__(self, work: Work, server: Server, client: Client) -> None:
        self._work = work
        self._pid = server.pid
        self._client = client
        self._requests = 0
        self._wall = 0.0
        self._cpu, self._user = self._used()

    def go_on(self, seconds: float) -> None:
        start = time.perf_counter()
        self._requests += self._work.talk(self._client, seconds)
        self._wall += time.perf_counter() - start

    def sample(self) -> Sample:
        cpu, user = self._used()
        return Sample(
            (cpu - self._cpu) / self._requests * 1e6,
            (user - self._user) / self._requests * 1e6,
            self._requests / self._wall,
            (cpu - self._cpu) / self._wall,
        )

    def _used(self) -> tuple[float, float]:
        return family_cpu_seconds(self._pid), user_seconds(self._pid)


def classic_syscalls(settings: Settings) -> Result:
    """Count what is asked of the kernel; strace makes it slow, but the calls are the same."""
    result = Result(
        "classic-syscalls",
        "System calls for one request, children's included, counted by `strace -f -c`.",
        ["server", "work", "calls a request", "of them"],
    )
    if not can_trace():
        result.notes.append("skipped, strace is not installed")
        return result
    for work in WORKS.values():
        try:
            _count(result, work, settings)
        except TracingRefusedError as refusal:
            result.notes.append(f"skipped, strace may not attach here: {refusal}")
            break
    return result


def _count(result: Result, work: Work, settings: Settings) -> None:
    def measure(contender: Contender) -> Calls:
        with Server(contender) as server, Client(server, *work.options) as client:
            work.begin(client)
            work.talk(client, settings.warmup)
            requests = 0

            def talk() -> None:
                nonlocal requests
                requests = work.talk(client, settings.seconds)

            calls = traced([server.pid], talk)
            return {name: count / requests for name, count in calls.items()}

    for contender, (calls,) in interleave(result, work.contenders()[:2], 1, measure).items():
        result.rows.append([contender.name, work.name, f"{sum(calls.values()):.2f}", frequent(calls)])
        result.samples.setdefault(contender.name, {})[work.name] = calls
