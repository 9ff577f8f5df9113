"""`idle`: what a connection costs that is only there.

Ten thousand peers, most of them silent, is what one thread is good for; the
memory of each decides how many. Weighed twice: when they have never spoken, and
after one line each, when all that a first request makes is there.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from harness.contenders import (
    ASYNCORE,
    COROUTINE,
    FRAMEWORKS,
    OURS,
    PEERS,
    STATE,
    THREADING,
    Contender,
)
from harness.figures import Mark, Result, Summary
from harness.processes import BenchmarkError, Client, Server
from harness.readings import await_descriptors, descriptors, settled_memory
from harness.rounds import interleave
from harness.settings import Settings

WANTED = {STATE: 1.0, COROUTINE: 1.8}
SILENT, SPOKEN = "nothing", "one line"


@dataclass(frozen=True)
class Sample:
    """KiB for each connection, beyond what the server used with one."""

    private: float
    rss: float


def idle(settings: Settings) -> Result:
    """Count memory in the server's process, not the kernel's for its sockets."""
    result = Result(
        f"idle-{settings.idle}",
        f"{settings.idle:,} idle connections ({THREADING.most:,} for asyncore and for threads): the server's "
        f"memory for each, median (min-max) of {settings.memory_rounds} rounds.",
        ["server", "each has sent", "private KiB", "RSS KiB"],
    )

    def measure(contender: Contender) -> dict[str, Sample]:
        return _weigh(contender, min(settings.idle, contender.most))

    contenders = (*OURS, *PEERS, ASYNCORE, THREADING, *FRAMEWORKS)
    samples = interleave(result, contenders, settings.memory_rounds, measure)
    for sent in (SILENT, SPOKEN):
        for contender, of in samples.items():
            if sent not in of[0]:
                continue
            private = Summary.of([each[sent].private for each in of])
            rss = Summary.of([each[sent].rss for each in of])
            result.rows.append([contender.name, sent, private.text(), rss.text()])
            kept = result.samples.setdefault(contender.name, {})
            kept[sent] = [asdict(each[sent]) for each in of]
            if contender in WANTED:
                name = f"{result.name}: {contender.name}, each has sent {sent}"
                result.marks.append(Mark(name, "at most", WANTED[contender], private, " KiB"))
    return result


def _weigh(contender: Contender, count: int) -> dict[str, Sample]:
    with Server(contender) as server, Client(server) as client:
        # The client has had one line answered: what every server does
        # only for its first connection is behind us.
        before, held = settled_memory(server.pid), descriptors(server.pid)
        # A thread may answer before the next connection is accepted: no way to wait for silent ones.
        threads = contender == THREADING
        client.tell(f"idle {count} {threads:d}")
        accepted = await_descriptors(server.pid, held + count) - held
        if accepted != count:
            raise BenchmarkError(f"the server holds {accepted} of {count} connections")
        weights = {}
        if not threads:
            weights[SILENT] = settled_memory(server.pid)
            client.tell("speak")
        weights[SPOKEN] = settled_memory(server.pid)
        client.tell("check")
    return {
        sent: Sample((after.private - before.private) / count, (after.rss - before.rss) / count)
        for sent, after in weights.items()
    }
