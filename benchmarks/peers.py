"""Install the peers into this interpreter's environment: `python benchmarks/peers.py`.

One that does not install here (no wheel for this Python, no network) is skipped with a line: the others
can still be measured. A stamp remembers what was tried, so that this costs nothing the next time.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).resolve().parent / "requirements.txt"
STAMP = Path(sys.prefix) / "benchmark-peers"


def main() -> int:
    """Install all together, or else one after the other; return the exit status."""
    wanted = REQUIREMENTS.read_text(encoding="utf-8")
    if sys.prefix == sys.base_prefix:
        print("This interpreter belongs to no environment: pip is yours to call.", file=sys.stderr)
        return 1
    if STAMP.exists() and STAMP.read_text(encoding="utf-8") == wanted:
        return 0
    if not install("-r", str(REQUIREMENTS)):
        for line in wanted.splitlines():
            if line and not line.startswith("#") and not install(line):
                print(f"{line}: skipped, it does not install here", file=sys.stderr)
    STAMP.write_text(wanted, encoding="utf-8")
    return 0


def install(*what: str) -> bool:
    """Have pip install something; tell whether it could."""
    options = ("--quiet", "--disable-pip-version-check", "--no-input", "--prefer-binary")
    return subprocess.run([sys.executable, "-m", "pip", "install", *options, *what]).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
