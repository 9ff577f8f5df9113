"""How a row sets a limit: a JSON object as the program's first argument. Without it nothing is set."""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import Any

from reactor import Limits

_LIMITS = {field.name for field in dataclasses.fields(Limits)}


def set_up(server_class: Any) -> Any:
    """*server_class*, or a subclass with what the command line says: limits, or attributes of the class."""
    given = json.loads(sys.argv[1]) if len(sys.argv) > 1 else {}
    if not given:
        return server_class
    limits = {name: given.pop(name) for name in _LIMITS & given.keys()}
    if limits:
        given["limits"] = dataclasses.replace(server_class.limits or Limits(), **limits)
    return type(server_class.__name__, (server_class,), given)
