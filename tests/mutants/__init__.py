"""Which statements does no test miss? Each is deleted in turn, and some test has to notice.

``make mutants``, or ``python -m tests.mutants --help``. What nobody can notice is listed, each with
its reason, in `reviewed.toml`.
"""

#: What stands in for socketserver.
ROOMS = (
    "reactor/base.py",
    "reactor/servers.py",
    "reactor/lifecycle.py",
    "reactor/underway.py",
    "reactor/handlers.py",
    "reactor/threads.py",
    "reactor/forking.py",
    "reactor/serving.py",
    "reactor/listening.py",
    "reactor/limited.py",
    "reactor/backoff.py",
)
