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
import time
from collections.abc import Callable
from dataclasses import replace
from types import FrameType

from harness.build import CLIENT, LIMIT, build
from harness.figures import Result
from harness.machine import Watch, conditions
from harness.plots import draw
from harness.report import RESULTS, as_document, as_section, marks_table, section, write
from harness.settings import Settings, raise_descriptor_limit
from marks.amid import amid
from marks.asynchat import asynchat
from marks.bulk import bulk
from marks.churn import churn
from marks.classic import classic_benchmarks
from marks.costs import costs
from marks.curve import curve
from marks.datagrams import datagrams
from marks.idle import idle
from marks.kv import kv, pipelined_kv
from marks.limits import limits
from marks.lines import lines, long_lines, pipelined, ten_thousand, thousand
from marks.offered import offered
from marks.raw import raw
from marks.syscalls import syscalls
from marks.timers import timers

BENCHMARKS: dict[str, Callable[[Settings], Result]] = {
    "raw": raw,
    "lines": lines,
    "offered": offered,
    "thousand": thousand,
    "ten-thousand": ten_thousand,
    "pipelined": pipelined,
    "long-lines": long_lines,
    "bulk": bulk,
    "churn": churn,
    "datagrams": datagrams,
    "amid": amid,
    "asynchat": asynchat,
    "idle": idle,
    "curve": curve,
    "limits": limits,
    "timers": timers,
    "kv": kv,
    "kv-pipelined": pipelined_kv,
    "syscalls": syscalls,
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
        build(CLIENT)
        build(LIMIT)
    except (OSError, subprocess.SubprocessError) as error:
        print(f"The client and the limit need a C compiler: {error}", file=sys.stderr)
        return 1

    watch, found = Watch(), conditions()
    report = ["# Benchmarks\n", ", ".join(f"{name} {value}" for name, value in found.items()) + "\n"]
    print("\n".join(report), flush=True)
    results = []
    for name in names:
        results.append(run(name, settings))
        report.append(section(as_section(results[-1])))
        print(report[-1], flush=True)
    left_out = [name for name in BENCHMARKS if name not in names]
    document = as_document(results, settings, found, watch.quietness(), left_out)
    report += ["## Marks\n", marks_table(document["results"]), document["quietness"]["text"] + "\n"]
    print("\n".join(report[-3:]), flush=True)
    write(document, "\n".join(report))
    draw(document, RESULTS)
    return 1 if any(result.failures for result in results) else 0


def run(name: str, settings: Settings) -> Result:
    """Run one benchmark and keep the time that it took."""
    start = time.monotonic()
    result = BENCHMARKS[name](settings)
    result.took = round(time.monotonic() - start, 1)
    return result


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
