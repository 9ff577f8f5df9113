"""The two modules under test, and `same`, which plays a scenario against both.

The reference is Python 3.13's module. An older interpreter's is brought up to it: the two classes
that were added are made here, as that version makes them. It is a copy of the standard module that
nobody else uses, so what a scenario patches in it stays in it.
"""

import difflib
import importlib.util
from collections.abc import Callable
from types import ModuleType
from typing import Any

import reactor.socketserver

_KINDS = ("", "Threading", "Forking")
_TRANSPORTS = ("TCP", "UDP", "UnixStream", "UnixDatagram")


def _standard() -> ModuleType:
    spec = importlib.util.find_spec("socketserver")
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in ("UnixStreamServer", "UnixDatagramServer"):
        forking = f"Forking{name}"
        if not hasattr(module, forking):  # Python 3.11
            body = {"__module__": module.__name__}
            setattr(module, forking, type(forking, (module.ForkingMixIn, getattr(module, name)), body))
            module.__all__.append(forking)
    return module


STANDARD = _standard()
OURS = reactor.socketserver


def servers(*transports: str, kinds: tuple[str, ...] = _KINDS) -> list[str]:
    """The names of the server classes of these transports (of all), kind by kind."""
    return [f"{kind}{transport}Server" for transport in transports or _TRANSPORTS for kind in kinds]


def same(scenario: Callable[..., list[Any]], *args: Any, **options: Any) -> None:
    """Assert that *scenario* goes the same way with either module."""
    expected = scenario(STANDARD, *args, **options)
    assert expected, "a scenario that tells nothing proves nothing"
    seen = scenario(OURS, *args, **options)
    assert seen == expected, "\n".join(
        [
            "not the same:",
            *difflib.unified_diff(_lines(expected), _lines(seen), "standard", "ours", "", "", 2, ""),
        ]
    )


def _lines(transcript: list[Any]) -> list[str]:
    return [repr(line) for part in transcript for line in (part if isinstance(part, list) else [part])]
