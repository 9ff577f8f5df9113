"""System calls a request, counted by strace from outside.

With one connection every request needs its own wait, read and write, and three
is the least there is; with fifty, one wait serves many. `epoll_ctl` means that a
server asks for events anew, which the steady phase never needs.
"""

from __future__ import annotations

from harness.contenders import OURS, PEERS, Contender
from harness.figures import Mark, Result, Summary
from harness.processes import Client, Server
from harness.rounds import interleave
from harness.settings import Settings
from harness.tracing import Calls, TracingRefusedError, can_trace, frequent, traced

CONNECTIONS = (1, 50)


def syscalls(settings: Settings) -> Result:
    """Attach to each server when its connections are up, detach before they close."""
    result = Result(
        "syscalls",
        "System calls for one request, counted by `strace -f -c` in the steady phase.",
        ["server", "connections", "calls a request", "of them"],
    )
    if not can_trace():
        result.notes.append("skipped, strace is not installed")
        return result
    for connections in CONNECTIONS:
        try:
            _count(result, connections, settings)
        except TracingRefusedError as refusal:
            result.notes.append(f"skipped, strace may not attach here: {refusal}")
            break
    return result


def _count(result: Result, connections: int, settings: Settings) -> None:
    def measure(contender: Contender) -> Calls:
        with Server(contender) as server, Client(server) as client:
            client.tell(f"active {connections}")
            client.run(1, settings.warmup)
            requests = 0

            def talk() -> None:
                nonlocal requests
                requests = client.run(1, settings.seconds)

            calls = traced([server.pid], talk)
            return {name: count / requests for name, count in calls.items()}

    samples = interleave(result, (*OURS, *PEERS), 1, measure)
    for contender, (calls,) in samples.items():
        result.rows.append([contender.name, str(connections), f"{sum(calls.values()):.2f}", frequent(calls)])
        result.samples.setdefault(contender.name, {})[str(connections)] = calls
    for contender in OURS:
        name = f"syscalls: {contender.name}, {connections} at once"
        total = again = None
        if contender in samples:
            (calls,) = samples[contender]
            total, again = _rounded(sum(calls.values())), _rounded(calls.get("epoll_ctl", 0))
        result.marks.append(Mark(name, "at most", 3, total))
        result.marks.append(Mark(f"{name}, epoll_ctl", "at most", 0, again))


def _rounded(calls: float) -> Summary:
    """Round to a hundredth: the waits in which strace came and went are counted too."""
    return Summary.of([round(calls, 2)])
