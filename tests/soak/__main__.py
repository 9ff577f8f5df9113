"""The command line: `make soak`."""

from __future__ import annotations

import argparse
import random
import resource
import sys
from dataclasses import replace

from tests.abuse.contenders import PROGRAMS
from tests.abuse.target import Target
from tests.soak import report
from tests.soak.soak import LOADS, Soak

#: The servers that can be asked for, by the words for them.
SERVERS = {
    "state": "reactor_state",
    "coroutine": "reactor_coroutine",
    "threading": "threading_limits",
    "forking": "forking_limits",
}

#: Descriptors for all but polite clients and storms.
OTHERS = 300

#: Seconds that the server may outlive the crowd's part.
AFTERWARDS = 300


def main() -> int:
    options = _options()
    program = PROGRAMS[SERVERS[options.server]]
    load = LOADS[program.waits_in]
    if options.polite is not None:
        load = replace(load, polite=options.polite)
    load = replace(load, polite=min(load.polite, _descriptor_limit() - load.storm - OTHERS))
    print(f"{program.label}, {options.seconds:g} s, --seed {options.seed}, {load}", flush=True)
    print(report.heading(program.waits_in), flush=True)
    with Target(program, load.settings, lifetime=int(options.seconds) + AFTERWARDS) as target:
        soak = Soak(target, options.seed, load, lambda: print(report.line(soak), flush=True))
        soak.run(options.seconds, options.every)
    print(report.summary(soak))
    reasons = soak.reasons()
    for reason in reasons:
        print(f"FAILED: {reason}")
    if not reasons:
        print("passed")
    return 1 if reasons else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak", description="All abuse at once, with polite clients in the middle of it."
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="how long (default: %(default)g)")
    parser.add_argument("--server", choices=SERVERS, default="state", help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000), help="of what clients do")
    parser.add_argument(
        "--polite", type=int, metavar="N", help="polite clients (default: what the server can take)"
    )
    parser.add_argument(
        "--every", type=float, default=5.0, metavar="SECONDS", help="between two lines (default: %(default)g)"
    )
    return parser.parse_args()


def _descriptor_limit() -> int:
    """As many as the system lets one process have."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return sys.maxsize if hard == resource.RLIM_INFINITY else hard


if __name__ == "__main__":
    sys.exit(main())
