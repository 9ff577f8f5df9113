"""``python -m reactor.compat PROGRAM.py ARGS…``: run a program as Python would, with our ``asyncore`` and
``asynchat`` in place of any others. ``-m MODULE ARGS…`` runs a module."""

import builtins
import io
import os
import pkgutil
import runpy
import sys
import types

from reactor.compat.installing import install

USAGE = """usage: python -m reactor.compat PROGRAM.py [ARGS...]
       python -m reactor.compat -m MODULE [ARGS...]"""


def main() -> None:
    arguments = sys.argv[1:]
    is_module = arguments[:1] == ["-m"]
    if is_module:
        del arguments[0]
    if not arguments or arguments[0] in ("-h", "--help"):
        sys.exit(USAGE)
    install(replace=True)
    sys.argv[:] = arguments
    if is_module:
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
        return
    if not sys.flags.safe_path:
        del sys.path[0]  # where we were started
    if pkgutil.get_importer(arguments[0]) is None:
        run_file(arguments[0])
    else:  # a folder or an archive
        runpy.run_path(arguments[0], run_name="__main__")


def run_file(name: str) -> None:
    """Run a file. Not as `runpy` does, whose ``__main__`` is gone when the program's last line is done: that
    of its threads, and of what it does at exit."""
    if not sys.flags.safe_path:
        sys.path.insert(0, os.path.dirname(os.path.realpath(name)))
    path = os.path.abspath(name)
    with io.open_code(path) as file:
        code = pkgutil.read_code(file)  # if it is compiled
        if code is None:
            file.seek(0)
            code = compile(file.read(), path, "exec")
    module = sys.modules["__main__"] = types.ModuleType("__main__")
    vars(module).update(__file__=path, __cached__=None, __builtins__=builtins)
    exec(code, vars(module))


if __name__ == "__main__":
    main()
