"""`idle-10000`: what a connection costs that is only there.

Ten thousand peers, most of them silent, is what one thread is good for; the
memory of each decides how many. Measured twice: after one line each, when all
that a first request makes is there, and with peers that never spoke.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from harness.contenders import COROUTINE, OURS, PEERS, STATE, Contender
from harness.figures import Mark, Result, Summary
from harness.processes import BenchmarkError, Client, Server
from harness.readings import await_descriptors, descriptors, settled_memory
from harness.rounds import interleave
from harness.settings import Settings

WANTED = {STATE: 1.2, COROUTINE: 2.0}


@dataclass(frozen=True)
class Sample:
    """KiB for each connection, beyond what the server used with one."""

    private: float
    rss: float


def idle(settings: Settings) -> Result:
    """Count memory in the server's process, not the kernel's for its sockets."""
    result = Result(
        f"idle-{settings.idle}",
        f"{settings.idle:,} idle connections: the server's memory for each, "
        f"median (min-max) of {settings.memory_rounds} rounds.",
        ["server", "each has sent", "private KiB", "RSS KiB"],
    )
    for sent, speak in (("one line", 1), ("nothing", 0)):
        _weigh(result, sent, speak, settings)
    return result


def _weigh(result: Result, sent: str, speak: int, settings: Settings) -> None:
    count = settings.idle

    def measure(contender: Contender) -> Sample:
        with Server(contender) as server, Client(server) as client:
            # The client has had one line answered: what every server does
            # only for its first connection is behind us.
            before, held = settled_memory(server.pid), descriptors(server.pid)
            client.tell(f"idle {count} {speak}")
            accepted = await_descriptors(server.pid, held + count) - held
            if accepted != count:
                raise BenchmarkError(f"the server holds {accepted} of {count} connections")
            after = settled_memory(server.pid)
            client.tell("check")
        return Sample((after.private - before.private) / count, (after.rss - before.rss) / count)

    samples = interleave(result, (*OURS, *PEERS), settings.memory_rounds, measure)
    private = {one: Summary.of([each.private for each in of]) for one, of in samples.items()}
    for contender, of in samples.items():
        rss = Summary.of([sample.rss for sample in of])
        result.rows.append([contender.name, sent, private[contender].text(), rss.text()])
        kept = result.samples.setdefault(contender.name, {})
        kept[sent] = [asdict(sample) for sample in of]
    for contender, wanted in WANTED.items():
        name = f"{result.name}: {contender.name}, each has sent {sent}"
        result.marks.append(Mark(name, "at most", wanted, private.get(contender), " KiB"))
