"""`kv-50` and `kv-50-pipelined-16`: a protocol and a client that nobody here wrote.

The client is redis-benchmark, the servers examples/kv.py, its commands on a Protocol of asyncio and of
uvloop, and Redis itself. A round runs one test of redis-benchmark after the other against a fresh server.
What connecting costs, which a run without much else shows, is taken off. Afterwards the store has to hold
what was set, and every increment has to have counted. Nothing is wanted of these figures: there is no mark.
"""

from __future__ import annotations

import csv
import shutil
import socket
import subprocess
import time
from dataclasses import asdict, dataclass

from harness.contenders import ASYNCIO_PROTOCOL_TUNED, Contender
from harness.figures import Result, Summary, ratio
from harness.processes import PATIENCE, BenchmarkError, Child, Server
from harness.readings import cpu_seconds
from harness.rounds import interleave
from harness.settings import Settings, cores

CONNECTIONS = 50
PIPELINE = 16
#: As redis-benchmark calls them.
TESTS = ("ping_mbulk", "set", "get", "incr")
#: Requests of a test for each second of `Settings.seconds`, for which it then takes about that long.
PACE = {1: 30_000, PIPELINE: 120_000}

OURS = Contender("reactor", "kv_reactor.py")
AGAIN = Contender("reactor, again", "kv_reactor.py")
CONTENDERS = (
    OURS,
    Contender("uvloop Protocol", "kv_protocol.py", "uvloop", arguments=("uvloop",)),
    Contender(
        "asyncio Protocol, malloc tuned",
        "kv_protocol.py",
        environment=ASYNCIO_PROTOCOL_TUNED.environment,
        arguments=("asyncio",),
    ),
    AGAIN,
)
REDIS = Contender("redis-server", "kv_redis.py")


@dataclass(frozen=True)
class Rate:
    """One test: µs of the server's CPU time for a request, with the kernel's work, and requests a second."""

    cpu: float
    rate: float


Sample = dict[str, Rate]


def kv(settings: Settings) -> Result:
    """50 connections, each waits for its answer before it asks again."""
    return _compare("kv-50", 1, settings)


def pipelined_kv(settings: Settings) -> Result:
    """50 connections, each asks 16 times at once."""
    return _compare("kv-50-pipelined-16", PIPELINE, settings)


def _compare(name: str, pipeline: int, settings: Settings) -> Result:
    result = Result(
        name,
        f"redis-benchmark -c {CONNECTIONS} -P {pipeline} on a key-value store: the server's CPU time for a "
        f"request, median (min-max) of {settings.rounds} rounds.",
        ["server", "test", "CPU µs a request", "requests/s", f"CPU / {OURS.name}'s"],
    )
    if shutil.which("redis-benchmark") is None:
        result.notes.append("skipped, redis-benchmark is not installed (Debian: redis-tools)")
        return result
    contenders = [*CONTENDERS, REDIS]
    if shutil.which("redis-server") is None:
        result.notes.append("redis-server: skipped, it is not installed")
        contenders.remove(REDIS)

    batch = CONNECTIONS * pipeline
    count = max(1, round(PACE[pipeline] * settings.seconds / batch)) * batch

    def measure(contender: Contender) -> Sample:
        with Server(contender) as server:
            await_listener(server)
            run(server, "incr", batch, pipeline)  # and warm
            connecting, _ = run(server, "ping_mbulk", batch, pipeline)
            sample = {}
            for test in TESTS:
                cpu, rate = run(server, test, batch + count, pipeline)
                sample[test] = Rate((cpu - connecting) / count * 1e6, rate)
            check(server, increments=2 * batch + count)
            return sample

    samples = interleave(result, contenders, settings.rounds, measure)
    for contender, of in samples.items():
        for test in TESTS:
            costs = [each[test].cpu for each in of]
            relative = ""
            if OURS in samples and contender is not OURS:
                relative = ratio(costs, [each[test].cpu for each in samples[OURS]]).text()
            rate = Summary.of([each[test].rate for each in of]).median
            result.rows.append([contender.name, test, Summary.of(costs).text(), f"{rate:,.0f}", relative])
        result.samples[contender.name] = [{test: asdict(each[test]) for test in TESTS} for each in of]
    return result


def run(server: Server, test: str, requests: int, pipeline: int) -> tuple[float, float]:
    """Run one test: the seconds of CPU time that it cost the server, and requests a second."""
    command = ["redis-benchmark", "-h", "127.0.0.1", "-p", str(server.port), "-t", test, "--csv"]
    command += ["-c", str(CONNECTIONS), "-P", str(pipeline), "-n", str(requests)]
    _, client_core = cores()
    before = cpu_seconds(server.pid)
    with Child("redis-benchmark", command, client_core) as client:
        try:
            out, _ = client.process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            raise BenchmarkError(f"redis-benchmark -t {test} did not end") from None
        if client.process.returncode:
            client.must_live()  # it does not, and this says why
    cpu = cpu_seconds(server.pid) - before
    server.must_live()
    *_, row = csv.reader(out.decode().splitlines())
    return cpu, float(row[1])


def await_listener(server: Server) -> None:
    """Redis says on which port before it listens there."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", server.port), PATIENCE).close()
            return
        except ConnectionRefusedError:
            server.must_live()
            if time.monotonic() > deadline:
                raise BenchmarkError(f"{server.name} does not listen") from None
            time.sleep(0.01)


def check(server: Server, increments: int) -> None:
    """Raise unless the store holds what redis-benchmark has put there."""
    number = b"%d" % increments
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as peer:
        peer.sendall(b"STRLEN key:__rand_int__\r\nGET counter:__rand_int__\r\nQUIT\r\n")
        with peer.makefile("rb") as replies:
            answer = replies.read()
    if answer != b":3\r\n$%d\r\n%b\r\n+OK\r\n" % (len(number), number):
        raise BenchmarkError(f"after {increments} increments {server.name} has {answer!r}")
