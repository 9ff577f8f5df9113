"""Names, values, signatures and relations: what a program finds when it looks, before anything runs."""

import errno
import inspect
import subprocess
import sys
from typing import Any

import pytest

from tests.compat.differences import ADDED, DIFFERENCES, WATCHED
from tests.compat.implementations import OURS, REFERENCE, Library, reference, same

CLASSES = {
    "asyncore": ["dispatcher", "dispatcher_with_send", "file_dispatcher", "file_wrapper", "ExitNow"],
    "asynchat": ["async_chat", "simple_producer"],
}
ALL_CLASSES = [(module, name) for module, names in CLASSES.items() for name in names]
FUNCTIONS = {
    "asyncore": [
        "loop",
        "poll",
        "poll2",
        "poll3",
        "read",
        "write",
        "readwrite",
        "_exception",
        "_strerror",
        "compact_traceback",
        "close_all",
    ],
    "asynchat": ["find_prefix_at_end"],
}
#: What the standard modules have imported for themselves, and no program means.
NOT_MEANT = {"warnings", "deque"}


def public(thing: Any) -> set[str]:
    return {name for name in dir(thing) if not name.startswith("_")} - NOT_MEANT


def told(name: str, value: Any) -> Any:
    """An attribute's value; one that tells the loop of its changes is as good as false on the class."""
    return (name, bool(value)) if name in WATCHED else (name, value, type(value).__name__)


def signature(function: Any) -> list[Any]:
    return [
        (
            parameter.name,
            parameter.kind.name,
            None if parameter.default is parameter.empty else [parameter.default],
        )
        for parameter in inspect.signature(function).parameters.values()
    ]


@pytest.mark.parametrize("module", list(CLASSES))
def test_no_public_name_is_missing_and_what_is_added_is_listed(module: str) -> None:
    expected, ours = public(getattr(reference(), module)), public(getattr(OURS, module))
    assert expected - ours == set()
    assert ours - expected <= ADDED


def starred(library: Library, module: str) -> list[Any]:
    """Whether ``import *`` gives each of the names that a program may have got that way."""
    face = getattr(library, module)
    given = getattr(face, "__all__", None) or [name for name in vars(face) if not name.startswith("_")]
    return sorted(
        set(given) & {*CLASSES[module], *FUNCTIONS[module], "socket_map", "asyncore", "select", "socket"}
    )


@pytest.mark.parametrize("module", list(CLASSES))
def test_what_a_star_imports(module: str) -> None:
    same(starred, module)


def modules(library: Library) -> list[Any]:
    """What programs patch through the faces are the modules themselves."""
    import os
    import select
    import socket
    import time

    face = library.asyncore
    return [
        [face.select is select, face.socket is socket, face.time is time, face.os is os, face.sys is sys],
        [library.asynchat.asyncore is face, face.poll3 is face.poll2, type(face.socket_map).__name__],
        [sorted(face._DISCONNECTED), type(face._DISCONNECTED).__name__],
        [cls.__name__ for cls in face._reraised_exceptions],
        [
            name
            for name in sorted(vars(reference().asyncore))
            if name in errno.errorcode.values() and name in vars(face)
        ],
    ]


def test_the_modules_that_programs_patch_and_the_constants() -> None:
    same(modules)


def relations(library: Library, module: str, name: str) -> list[Any]:
    cls = getattr(getattr(library, module), name)
    bases = {each.__name__ for each in getattr(getattr(reference(), module), name).__mro__}
    kin = [each.__name__ for each in cls.__mro__ if each.__name__ in bases]
    return [kin, cls.__name__, cls.__qualname__]


@pytest.mark.parametrize(("module", "name"), ALL_CLASSES)
def test_relations(module: str, name: str) -> None:
    same(relations, module, name)


def values(library: Library, module: str, name: str) -> list[Any]:
    cls = getattr(getattr(library, module), name)
    names = public(getattr(getattr(reference(), module), name))
    found = [(each, getattr(cls, each, "missing")) for each in sorted(names)]
    return [told(each, value) for each, value in found if not callable(value)] or ["none"]


@pytest.mark.parametrize(("module", "name"), ALL_CLASSES)
def test_values_of_attributes(module: str, name: str) -> None:
    same(values, module, name)


@pytest.mark.parametrize(("module", "name"), ALL_CLASSES)
def test_what_is_added_to_a_class_is_listed(module: str, name: str) -> None:
    expected, ours = (public(getattr(getattr(each, module), name)) for each in (reference(), OURS))
    assert expected - ours == set()
    assert ours - expected <= ADDED


def signatures(library: Library, module: str, name: str) -> list[Any]:
    cls, names = getattr(getattr(library, module), name), dir(getattr(getattr(reference(), module), name))
    told = [
        each for each in names if not each.startswith("__") or each in ("__init__", "__getattr__", "__repr__")
    ]
    methods = [(each, getattr(cls, each, None)) for each in told]
    return [(each, signature(method)) for each, method in methods if inspect.isfunction(method)] or ["none"]


@pytest.mark.parametrize(("module", "name"), ALL_CLASSES)
def test_signatures_of_methods(module: str, name: str) -> None:
    same(signatures, module, name)


def definers(library: Library, module: str, name: str) -> list[Any]:
    """Who has the method: a program that patches `dispatcher.send` does not mean `dispatcher_with_send`."""
    cls = getattr(getattr(library, module), name)
    found = []
    for each in sorted(public(getattr(getattr(reference(), module), name))):
        found.append((each, next(base.__name__ for base in cls.__mro__ if each in vars(base))))
    return found or ["none"]


@pytest.mark.parametrize(("module", "name"), [pair for pair in ALL_CLASSES if pair[1] != "ExitNow"])
def test_who_defines_what(module: str, name: str) -> None:
    same(definers, module, name)


@pytest.mark.parametrize(("module", "name"), [(m, name) for m, names in FUNCTIONS.items() for name in names])
def test_signatures_of_functions(module: str, name: str) -> None:
    same(lambda library: [name, signature(getattr(getattr(library, module), name))])


def test_importing_ours_warns_of_nothing() -> None:
    script = "import reactor.compat.asyncore, reactor.compat.asynchat"
    command = [sys.executable, "-W", "error", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_there_is_something_to_compare_with() -> None:
    """The test extra brings the frozen copies, where the interpreter has none of its own."""
    if REFERENCE is None:
        pytest.skip("no asyncore to compare with: pip install pyasyncore pyasynchat")
    assert REFERENCE.asyncore is not OURS.asyncore
    assert issubclass(REFERENCE.asynchat.async_chat, REFERENCE.asyncore.dispatcher)
    assert not issubclass(REFERENCE.asynchat.async_chat, OURS.asyncore.dispatcher)


def test_every_difference_has_a_reason() -> None:
    for difference in DIFFERENCES:
        assert all((difference.what, difference.standard, difference.ours, difference.why))
    assert len({difference.what for difference in DIFFERENCES}) == len(DIFFERENCES)
