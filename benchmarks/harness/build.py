"""Compiles the programs in C on first use, and again when a source is newer."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parent.parent
#: Each program's sources: all in a folder, or one file.
CLIENT = BENCHMARKS / "client"
LIMIT = BENCHMARKS / "servers" / "limit.c"


def build(source: Path) -> Path:
    """Return the compiled program. Raises if there is no C compiler or it refuses."""
    files = sorted(source.iterdir()) if source.is_dir() else [source]
    program = BENCHMARKS / "build" / source.stem
    if not program.is_file() or program.stat().st_mtime < max(file.stat().st_mtime for file in files):
        program.parent.mkdir(exist_ok=True)
        compiler = os.environ.get("CC", "cc")
        units = [str(file) for file in files if file.suffix == ".c"]
        command = [compiler, "-O2", "-Wall", "-Wextra", "-o", str(program), *units]
        subprocess.run(command, check=True, timeout=60)
    return program
