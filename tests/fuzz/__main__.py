"""The command line: `make fuzz`."""

from __future__ import annotations

import argparse
import pathlib
import re
import subprocess
import sys
import threading
import traceback

TARGETS = ("framings", "machine", "connection")

#: Where inputs are kept that reach something new, and those that fail; not part of the project.
KEPT = pathlib.Path(__file__).resolve().parents[2] / ".fuzz"

#: A line with each input that is kept and each module that is instrumented.
_NOISE = re.compile(r"#\d+\s+(NEW|REDUCE|RELOAD) |INFO: Instrumenting|WARNING: Failed to find function")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument(
        "targets", nargs="*", default=list(TARGETS), help=f"of {', '.join(TARGETS)} (default: all)"
    )
    parser.add_argument(
        "--seconds", type=int, default=60, help="for all targets together (default: %(default)s)"
    )
    parser.add_argument("--replay", type=pathlib.Path, metavar="FILE", help="run one kept input again")
    options = parser.parse_args()
    if unknown := set(options.targets) - set(TARGETS):
        parser.error(f"there is no target {', '.join(sorted(unknown))}")
    if options.replay is not None:
        return replay(options.replay)
    share = max(1, options.seconds // len(options.targets))
    failed = [kept for target in options.targets if (kept := fuzz(target, share)) is not None]
    for kept in failed:
        print(f"failed; again: {sys.executable} -m tests.fuzz --replay {kept}")
    return 1 if failed else 0


def fuzz(target: str, seconds: int) -> pathlib.Path | None:
    """Fuzz one target; the input that failed, if any."""
    corpus, failures = KEPT / "corpus" / target, KEPT / "failures" / target
    for folder in (corpus, failures):
        folder.mkdir(parents=True, exist_ok=True)
    known = set(failures.iterdir())
    print(f"== {target}, {seconds} s", flush=True)
    limits = [f"-max_total_time={seconds}", "-max_len=400", "-len_control=0", "-timeout=20"]
    names = [target, str(corpus), f"-artifact_prefix={failures}/"]
    ended = _run(
        [sys.executable, "-m", "tests.fuzz.guided", *names, *limits, "-print_final_stats=1"], seconds
    )
    new = sorted(set(failures.iterdir()) - known)
    if ended and not new:
        raise SystemExit(f"the fuzzer ended with {ended} and kept nothing")
    return new[0] if new else None


def _run(command: list[str], seconds: int) -> int:
    """Run the fuzzer and pass on what it says, but for a line with each input that it keeps."""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        latest = threading.Timer(seconds + 300, process.kill)
        latest.start()
        try:
            assert process.stderr is not None
            for line in process.stderr:
                if not _NOISE.match(line):
                    print(line, end="", flush=True)
            return process.wait()
        finally:
            latest.cancel()
            process.kill()


def replay(kept: pathlib.Path) -> int:
    """Run a kept input; the folder that it is in tells its target."""
    from tests.fuzz.targets import TARGETS as functions

    try:
        functions[kept.parent.name](kept.read_bytes())
    except BaseException:
        traceback.print_exc()
        return 1
    print(f"{kept}: no failure")
    return 0


if __name__ == "__main__":
    sys.exit(main())
