"""One work given to several servers: what each spends on a request, as a table and as ratios."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field

from harness.contenders import Contender
from harness.figures import Mark, Result, Summary, ratio
from harness.lineup import Lineup, Member, Talk
from harness.readings import cpu_seconds, family, family_cpu_seconds, modes
from harness.settings import Settings
from harness.tracing import Calls, TracingRefusedError, can_trace, frequent, traced

COLUMNS = ("server", "CPU µs", "user", "system", "calls", "requests/s", "busy")


@dataclass(frozen=True)
class Sample:
    """One measured phase of one server."""

    cpu: float  # µs of the server's CPU time for a request, the kernel's work included
    rate: float  # requests a second
    busy: float  # share of its core that the server used; the rest it waited for the client
    user: float  # ticks of its time in user mode, in seconds: rough, added up over all rounds
    system: float


@dataclass(frozen=True)
class Work:
    """What servers are made to do, who does it, and whom they are compared with.

    `references` are the columns of ratios: a heading, and the contender whose CPU time is 1.
    The last of them is ours, and `again` the same once more.
    """

    name: str
    about: str
    contenders: Sequence[Contender]
    talk: Talk
    references: Sequence[tuple[str, Contender]] = ()
    again: Contender | None = None


def keep(active: int) -> Talk:
    """So many connections, on each of them a line at a time."""
    return batches(active, 1)


def batches(active: int, pipeline: int) -> Talk:
    """So many connections, on each of them so many lines at a time."""
    return Talk(opening(active), lambda client, seconds: client.run(pipeline, seconds))


def opening(active: int) -> Callable[[Member], None]:
    """Open the connections that will talk."""

    def begin(member: Member) -> None:
        member.client.tell(f"active {active}")

    return begin


@dataclass
class Comparison:
    """Samples of all that came through, round by round."""

    work: Work
    result: Result
    samples: dict[Contender, list[Sample]] = field(default_factory=dict)
    calls: dict[Contender, Calls] = field(default_factory=dict)

    def costs(self, contender: Contender) -> list[float]:
        return [sample.cpu for sample in self.samples[contender]]

    def ratio(self, above: Contender, below: Contender) -> Summary | None:
        """CPU time a request of one in terms of the other's, if both have any."""
        if above in self.samples and below in self.samples:
            return ratio(self.costs(above), self.costs(below))
        return None

    def mark(self, peer: Contender, ours: Contender, wanted: float) -> None:
        """Want that a peer's CPU time is at least so many times ours."""
        name = f"{self.result.name}: CPU of {peer.name} / {ours.name}"
        self.result.marks.append(Mark(name, "at least", wanted, self.ratio(peer, ours)))


def compare(work: Work, settings: Settings) -> Comparison:
    """Measure each contender once a round; fill a table with what was found."""
    headings = [heading for heading, _ in work.references]
    about = f"{work.about} The server's CPU time for a request: median (min-max) of {settings.rounds} rounds."
    comparison = Comparison(work, Result(work.name, about, [*COLUMNS, *headings]))

    def sample(member: Member) -> Sample:
        return measured_phase(member, work.talk, settings)

    def count(member: Member) -> None:
        calls = _count(member, work.talk, settings, comparison.result)
        if calls is not None:
            comparison.calls[member.contender] = calls

    counting = count if settings.traced and can_trace() else None
    lineup = Lineup(comparison.result, work.contenders, work.talk)
    comparison.samples = lineup.measure(settings.rounds, settings, sample, counting)
    comparison.result.rows = [_row(comparison, contender) for contender in comparison.samples]
    _keep_samples(comparison)
    _note_noise(comparison)
    return comparison


def measured_phase(member: Member, talk: Talk, settings: Settings) -> Sample:
    """Let the clients talk, and divide what it cost the server by the requests.

    Both readings are made while the server is asleep, so nothing is counted that
    belongs to another phase.
    """
    talk.go(member.client, settings.warmup)
    pid, forks = member.server.pid, member.contender.forks
    pids = family(pid) if forks else [pid]
    used = family_cpu_seconds if forks else cpu_seconds
    (user, system), cpu, wall = modes(pids), used(pid), time.perf_counter()
    requests = talk.go(member.client, settings.seconds)
    cpu, wall = used(pid) - cpu, time.perf_counter() - wall
    user_then, system_then = modes(pids)
    return Sample(cpu / requests * 1e6, requests / wall, cpu / wall, user_then - user, system_then - system)


def _count(member: Member, talk: Talk, settings: Settings, result: Result) -> Calls | None:
    requests = 0

    def go() -> None:
        nonlocal requests
        requests = talk.go(member.client, settings.traced)

    pid = member.server.pid
    try:
        calls = traced(family(pid) if member.contender.forks else [pid], go)
    except TracingRefusedError as refusal:
        note = f"no system calls, strace may not attach here: {refusal}"
        if note not in result.notes:
            result.notes.append(note)
        return None
    return {name: count / requests for name, count in calls.items()}


def share_of_user(samples: Iterable[Sample]) -> float | None:
    """Return the share of CPU time that was spent in user mode, if any was seen."""
    samples = list(samples)
    user, system = sum(each.user for each in samples), sum(each.system for each in samples)
    return user / (user + system) if user + system else None


def _row(comparison: Comparison, contender: Contender) -> list[str]:
    samples = comparison.samples[contender]
    cpu = Summary.of([sample.cpu for sample in samples])
    user = share_of_user(samples)
    calls = comparison.calls.get(contender)
    ratios = (comparison.ratio(contender, reference) for _, reference in comparison.work.references)
    return [
        contender.name,
        cpu.text(),
        "" if user is None else f"{cpu.median * user:.1f}",
        "" if user is None else f"{cpu.median * (1 - user):.1f}",
        "" if calls is None else f"{sum(calls.values()):.2f}",
        f"{Summary.of([sample.rate for sample in samples]).median:,.0f}",
        f"{Summary.of([sample.busy for sample in samples]).median:.0%}",
        *("" if each is None else f"{each.median:.2f}" for each in ratios),
    ]


def _keep_samples(comparison: Comparison) -> None:
    for contender, samples in comparison.samples.items():
        comparison.result.samples[contender.name] = {
            "rounds": [asdict(sample) for sample in samples],
            "calls": frequent(comparison.calls.get(contender, {})),
        }


def _note_noise(comparison: Comparison) -> None:
    work = comparison.work
    if work.again is None:
        return
    noise = comparison.ratio(work.again, work.references[-1][1])
    if noise is not None:
        comparison.result.notes.append(f"noise floor, ours against itself: {noise.text()}")
