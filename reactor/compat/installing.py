"""`install`: have ``import asyncore`` find ours, for programs that cannot be edited."""

import sys

from reactor.compat import asynchat, asyncore

_OURS = {"asyncore": asyncore, "asynchat": asynchat}


def install(replace: bool = False) -> None:
    """Make ``import asyncore`` and ``import asynchat`` give the modules of this package.

    Where the interpreter has its own, or others of these names are imported already, nothing is done
    unless *replace* is true; what imported those keeps them in any case, so call this first.
    Calling it again does nothing.
    """
    if replace or all(_is_free(name) for name in _OURS):
        sys.modules.update(_OURS)


def _is_free(name: str) -> bool:
    if name in sys.modules:
        return sys.modules[name] is _OURS[name]
    return name not in sys.stdlib_module_names
