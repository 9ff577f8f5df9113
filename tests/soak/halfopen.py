"""Connections that have only one end: the kernel's doing, and not the server's.

When a listener's queue overflows, Linux answers with cookies, and remembers nothing of a client until the
third packet of its handshake. A client that resets at once, and whose reset overtakes that packet on another
processor, is then accepted although it is gone, and no packet will ever say so. It is what a client that has
lost its power looks like: the server has to wait for `idle_timeout`.
"""

from __future__ import annotations

#: Where the kernel lists its connections, and two of their states there.
TABLE = "/proc/net/tcp"
_ESTABLISHED, _TIME_WAIT = "01", "06"


def half_open(port: int, table: str) -> int:
    """How many connections of the server at *port* have no client in the *table* of the same machine."""
    ours, theirs = set(), set()
    for line in table.splitlines()[1:]:
        _, local, remote, state, *_ = line.split()
        if int(local.rpartition(":")[2], 16) == port:
            if state == _ESTABLISHED:
                ours.add(remote)
        elif state != _TIME_WAIT:
            theirs.add(local)
    return len(ours - theirs)
