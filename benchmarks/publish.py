"""Write the last run to `docs/performance.md`: `python benchmarks/publish.py`.

Its figures are those of `results/latest.json`, whatever they are, and its plots are copied beside it.
"""

from __future__ import annotations

import json
import sys

from harness.build import BENCHMARKS
from harness.page import PICTURES, page
from harness.plots import draw
from harness.report import LATEST

DOCS = BENCHMARKS.parent / "docs"


def main() -> int:
    """Write the page and the plots; return the exit status."""
    if not LATEST.exists():
        print("There is no run to show: `make bench` first.", file=sys.stderr)
        return 1
    document = json.loads(LATEST.read_text(encoding="utf-8"))
    pictures = DOCS / "performance"
    pictures.mkdir(exist_ok=True)
    drawn = {file.stem for file in draw(document, pictures)}
    text = page(document, [name for name in PICTURES if name in drawn])
    (DOCS / "performance.md").write_text(text, encoding="utf-8")
    print(f"written: docs/performance.md, {len(drawn)} plots")
    return 0


if __name__ == "__main__":
    sys.exit(main())
