"""Properties: whatever comes, in whatever order, these things hold.

``REACTOR_EXAMPLES=50 python -m pytest tests/properties`` looks at 50 times as many examples, other
ones each time; without it they are few and the same every time.
"""

import os

from hypothesis import Phase, settings

#: How many times as many examples as usual, chosen anew each time; 0 for the usual ones.
FACTOR = int(os.environ.get("REACTOR_EXAMPLES", "0"))


def examples(count: int, steps: int = 50) -> settings:
    """Settings for *count* examples, each of so many *steps* where a test takes steps."""
    return settings(
        max_examples=count * max(1, FACTOR),
        stateful_step_count=steps,
        derandomize=not FACTOR,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
    )
