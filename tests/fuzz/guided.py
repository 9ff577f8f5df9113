"""The process that fuzzes one target: ``python -m tests.fuzz.guided TARGET CORPUS [libFuzzer's options]``."""

from __future__ import annotations

import logging
import sys

import atheris

with atheris.instrument_imports(include=["reactor"]):
    from tests.fuzz.targets import TARGETS


def main() -> None:
    target = TARGETS[sys.argv[1]]
    logging.getLogger("reactor").addHandler(
        logging.NullHandler()
    )  # thousands of peers misbehave every second
    atheris.Setup([sys.argv[0], *sys.argv[2:]], target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
