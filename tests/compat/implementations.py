"""The two pairs of modules under test, and `same`, which plays a scenario with both.

The reference is the interpreter's own asyncore and asynchat; from Python 3.12 on the frozen copies from
PyPI, or, without those, the private copies in the interpreter's `test` package. All three are one code.
"""

import difflib
import importlib.machinery
import importlib.util
import sys
import warnings
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any, NamedTuple
from unittest import mock

import pytest

import reactor.compat.asynchat
import reactor.compat.asyncore


class Library(NamedTuple):
    """One implementation: both its modules."""

    asyncore: Any
    asynchat: Any


def _load(name: str) -> ModuleType | None:
    """A copy of the module that nobody else uses, or None; `sys.modules` may have ours under the name."""
    spec = importlib.machinery.PathFinder.find_spec(name)
    if spec is None or spec.loader is None:
        return None
    module = importlib.util.module_from_spec(spec)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        spec.loader.exec_module(module)
    return module


def _reference() -> Library | None:
    asyncore = _load("asyncore")
    if asyncore is not None:
        with mock.patch.dict(sys.modules, asyncore=asyncore):
            asynchat = _load("asynchat")
        return asynchat and Library(asyncore, asynchat)
    try:
        from test.support import asynchat, asyncore
    except ImportError:
        return None
    for module, name in ((asyncore, "asyncore"), (asynchat, "asynchat")):
        for value in vars(module).values():
            if isinstance(value, type) and value.__module__ == module.__name__:
                value.__module__ = name  # as where it comes from: it is printed
    return Library(asyncore, asynchat)


OURS = Library(reactor.compat.asyncore, reactor.compat.asynchat)
REFERENCE = _reference()


def reference() -> Library:
    if REFERENCE is None:
        pytest.skip("no asyncore to compare with: pip install pyasyncore pyasynchat")
    return REFERENCE


def same(scenario: Callable[..., list[Any]], *args: Any, **options: Any) -> None:
    """Assert that *scenario* goes the same way with either implementation."""
    told = _difference(scenario, args, options)
    assert not told, told


def all_same(scenario: Callable[..., list[Any]], cases: Iterable[tuple[Any, ...]]) -> None:
    """`same` for each of the *cases*; tells all that differ."""
    told = {str(case): _difference(scenario, case, {}) for case in cases}
    assert told, "no cases prove nothing"
    if differing := {case: text for case, text in told.items() if text}:
        parts = [f"{case}\n{text}" for case, text in list(differing.items())[:10]]
        pytest.fail("\n".join([f"{len(differing)} of {len(told)}: ", *parts]), pytrace=False)


def _difference(scenario: Callable[..., list[Any]], args: tuple[Any, ...], options: dict[str, Any]) -> str:
    expected = scenario(reference(), *args, **options)
    assert expected, "a scenario that tells nothing proves nothing"
    seen = scenario(OURS, *args, **options)
    if seen == expected:
        return ""
    lines = ([repr(line) for line in lines] for lines in (expected, seen))
    return "\n".join(["not the same:", *difflib.unified_diff(*lines, "reference", "ours", "", "", 3, "")])
