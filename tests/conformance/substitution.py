"""How a Python gets our modules for the standard ones: the folder `substitute/` on its PYTHONPATH."""

import os
import pathlib
from collections.abc import Mapping

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent


def environment(ours: bool, base: Mapping[str, str] = os.environ) -> dict[str, str]:
    """For a Python, and the ones that it starts: with our modules, or else with the standard ones."""
    changed = {key: value for key, value in base.items() if not key.startswith("PYTHON")}
    changed["CONFORMANCE"] = "ours" if ours else "standard"
    changed["PYTHONDONTWRITEBYTECODE"] = "1"
    if ours:
        changed["PYTHONPATH"] = os.pathsep.join([str(HERE / "substitute"), str(ROOT)])
    return changed
