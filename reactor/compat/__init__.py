"""A home for programs written for ``asyncore`` and ``asynchat``, which Python 3.12 removed.

``from reactor.compat import asyncore, asynchat``, or, for a program that cannot be edited,
`install` before it is imported, or ``python -m reactor.compat PROGRAM.py ARGS…``.
"""

from reactor.compat import asynchat, asyncore
from reactor.compat.installing import install

__all__ = ["asynchat", "asyncore", "install"]
