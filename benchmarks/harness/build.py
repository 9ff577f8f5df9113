"""Compiles the C client on first use, and again when its source is newer."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parent.parent
SOURCE = BENCHMARKS / "client.c"
CLIENT = BENCHMARKS / "build" / "client"


def build_client() -> Path:
    """Return the compiled client. Raises if there is no C compiler or it refuses."""
    if not CLIENT.exists() or CLIENT.stat().st_mtime < SOURCE.stat().st_mtime:
        CLIENT.parent.mkdir(exist_ok=True)
        compiler = os.environ.get("CC", "cc")
        subprocess.run([compiler, "-O2", "-Wall", "-Wextra", "-o", CLIENT, SOURCE], check=True, timeout=60)
    return CLIENT
