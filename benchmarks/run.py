"""The benchmarks: `python benchmarks/run.py [--quick] [--only NAME] [--rounds N] [--seconds S]`.

Every mark is a ratio within this run, or a count, never a time: the machine may
be noisy or slow. A mark that is missed is shown and the exit status is 0 all the
same; it is 1 when an answer was wrong or a server died.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from types import FrameType

from harness.build import build_client
from harness.figures import Result
from harness.report import conditions, save, show, show_marks
from harness.settings import Settings, raise_descriptor_limit
from marks.amid import amid
from marks.classic import classic_benchmarks
from marks.costs import costs
from marks.idle import idle
from marks.kv import kv, pipelined_kv
from marks.lines import lines, pipelined_lines
from marks.syscalls import syscalls
from marks.timers import timers

BENCHMARKS: dict[str, Callable[[Settings], Result]] = {
    "lines": lines,
    "pipelined": pipelined_lines,
    "syscalls": syscalls,
    "idle": idle,
    "amid": amid,
    "timers": timers,
    "kv": kv,
    "kv-pipelined": pipelined_kv,
    **classic_benchmarks(),
    "costs": costs,
}
#: Names for several.
GROUPS = {"classic": list(classic_benchmarks())}


def main() -> int:
    """Measure, show, write; return the exit status."""
    names, settings = parse_arguments()
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, leave)
    fitting = raise_descriptor_limit(settings.idle)
    if fitting < settings.idle:
        print(f"The limit of open descriptors allows {fitting} connections.", file=sys.stderr)
        settings = replace(settings, idle=fitting)
    try:
        build_client()
    except (OSError, subprocess.SubprocessError) as error:
        print(f"The client needs a C compiler: {error}", file=sys.stderr)
        return 1

    print("# Benchmarks\n")
    print(", ".join(f"{name} {value}" for name, value in conditions().items()) + "\n", flush=True)
    results = []
    for name in names:
        results.append(BENCHMARKS[name](settings))
        show(results[-1])
    show_marks(results)
    save(results, settings)
    return 1 if any(result.failures for result in results) else 0


def parse_arguments() -> tuple[list[str], Settings]:
    """Return which benchmarks to run, and how thoroughly."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two minutes, rough figures")
    parser.add_argument("--only", choices=[*BENCHMARKS, *GROUPS], action="append", help="may be repeated")
    parser.add_argument("--rounds", type=int, help="measure each server so often")
    parser.add_argument("--seconds", type=float, help="length of each measured phase")
    options = parser.parse_args()
    settings = Settings.quick() if options.quick else Settings()
    if options.rounds is not None:
        if options.rounds < 1:
            parser.error("--rounds must be at least 1")
        rounds = options.rounds
        settings = replace(settings, rounds=rounds, memory_rounds=rounds, long_rounds=rounds)
    if options.seconds is not None:
        if options.seconds <= 0:
            parser.error("--seconds must be more than 0")
        settings = replace(settings, seconds=options.seconds)
    names = [each for name in options.only or BENCHMARKS for each in GROUPS.get(name, [name])]
    return names, settings


def leave(signum: int, _frame: FrameType | None) -> None:
    """Leave by way of every `finally`, so that no child is left behind."""
    sys.exit(128 + signum)


if __name__ == "__main__":
    sys.exit(main())
