"""`active-50-amid-9950-idle`: the many who are silent must not slow down the few who speak.

The selector hands over only those that are ready, and nothing
walks the whole table in a turn. What is left is the sweep that enforces limits,
the collector, and caches.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from harness.contenders import ASYNCIO_PROTOCOL_TUNED, OURS, UVLOOP_PROTOCOL, Contender
from harness.figures import Mark, Result, Summary
from harness.processes import BenchmarkError, Client, Server
from harness.readings import await_descriptors, descriptors
from harness.rounds import interleave
from harness.settings import Settings

from marks.lines import measured_phase

ACTIVE = 50


@dataclass(frozen=True)
class Sample:
    """µs of CPU for a request of one server: alone, amid the idle, and alone again."""

    before: float
    amid: float
    after: float

    @property
    def ratio(self) -> float:
        return self.amid / ((self.before + self.after) / 2)


def amid(settings: Settings) -> Result:
    """Measure the same process without, with and again without the idle connections."""
    count = settings.idle - ACTIVE
    result = Result(
        f"active-{ACTIVE}-amid-{count}-idle",
        f"{ACTIVE} active connections amid {count:,} idle ones: CPU for a request compared with "
        f"none idle in the same process, median (min-max) of {settings.long_rounds} rounds.",
        ["server", "CPU µs, none idle", "CPU µs, amid idle", "ratio"],
    )

    def measure(contender: Contender) -> Sample:
        with Server(contender) as server, Client(server) as client:
            client.tell(f"active {ACTIVE}")
            held = descriptors(server.pid)

            def cost(idle: int) -> float:
                have = await_descriptors(server.pid, held + idle) - held
                if have != idle:
                    raise BenchmarkError(f"the server holds {have} of {idle} connections")
                client.run(1, settings.warmup)
                return measured_phase(server, client, 1, settings.seconds).cpu

            before = cost(0)
            client.tell(f"idle {count} 1")
            between = cost(count)
            client.tell("drop")
            return Sample(before, between, cost(0))

    contenders = (*OURS, ASYNCIO_PROTOCOL_TUNED, UVLOOP_PROTOCOL)
    samples = interleave(result, contenders, settings.long_rounds, measure)
    ratios = {one: Summary.of([each.ratio for each in of]) for one, of in samples.items()}
    for contender, of in samples.items():
        result.rows.append(
            [
                contender.name,
                Summary.of([(each.before + each.after) / 2 for each in of]).text(),
                Summary.of([each.amid for each in of]).text(),
                ratios[contender].text(),
            ]
        )
        result.samples[contender.name] = [asdict(sample) for sample in of]
    for contender in OURS:
        name = f"{result.name}: {contender.name}, with / without"
        result.marks.append(Mark(name, "at most", 1.1, ratios.get(contender)))
    return result
