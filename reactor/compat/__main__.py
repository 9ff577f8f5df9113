"""``python -m reactor.compat PROGRAM.py ARGS…``: run a program as Python would, with our ``asyncore`` and
``asynchat`` in place of any others. ``-m MODULE ARGS…`` runs a module."""

import os
import runpy
import sys

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
    else:
        sys.path[0] = os.path.dirname(os.path.abspath(arguments[0]))
        runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    main()
