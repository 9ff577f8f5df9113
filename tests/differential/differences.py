"""What differs from the standard module on purpose, each with its reason; no scenario compares it.

To be reviewed as a whole: what is not in this table has to be the same. The suite takes the names
that we add, and what we define ourselves, from here.
"""

from typing import NamedTuple


class Difference(NamedTuple):
    """*standard* behaviour, *ours*, and *why*; the *names* that we have more, or define elsewhere."""

    what: str
    standard: str
    ours: str
    why: str
    #: Public names that our classes have besides those of the standard module.
    added: tuple[str, ...] = ()
    #: ``Class.name`` where the name is defined by another class than in the standard module.
    moved: tuple[str, ...] = ()


DIFFERENCES = (
    Difference(
        "stopping",
        "shutdown() and Ctrl-C are noticed within poll_interval",
        "at once",
        "half a second of each stop, and of each test of a program, was waiting for nothing",
    ),
    Difference(
        "shutdown() from the serving thread, a handler or a signal handler",
        "a deadlock",
        "returns, and serve_forever() ends",
        "no program can depend on a deadlock",
    ),
    Difference(
        "shutdown() before the first serve_forever()",
        "waits for ever",
        "returns, and the next serve_forever() returns at once",
        "a stop that comes too early is not lost; no program can depend on the wait",
    ),
    Difference(
        "serve_forever() while it runs in another thread",
        "both loops run; each request is taken by one of them",
        "RuntimeError",
        "shutdown() would wait for the first of them only",
    ),
    Difference(
        "server_close() while serve_forever() runs in another thread",
        "the loop watches a closed descriptor",
        "ends the loop first",
        "the descriptor's number may belong to another file by then",
    ),
    Difference(
        "handle_request()'s selector",
        "one for each call, closed at its end",
        "kept until server_close(), or until `fileno` or the selector class is another",
        "making one costs as much as the wait",
    ),
    Difference(
        "children that have ended, in a loop of handle_request()",
        "collected after a timeout only; until then zombies",
        "collected with each call, unless collect_children() is the program's own",
        "a busy server has no timeouts, and as many zombies as it had requests",
    ),
    Difference(
        "collect_children() with max_children children",
        "waits for any child of the process, and takes the status of whichever that is",
        "waits for its own",
        "a program that started the other one waits for it in vain",
    ),
    Difference(
        "IPv6 addresses",
        "gaierror with the default address_family",
        "a family is chosen that the address belongs to; `dual_stack` takes both",
        "an address says what it is",
        added=("dual_stack",),
    ),
    Difference(
        "an address of the wrong shape, or a handler that can't be called",
        "TypeError from the socket; a handler fails when the first request comes",
        "TypeError that says what to write, from the constructor",
        "bad arguments fail where they are passed",
    ),
    Difference(
        "a Unix path where a dead server's socket is",
        "EADDRINUSE; the path is left behind at server_close()",
        "taken over if nobody listens there; removed at server_close()",
        "every program had to do it, and most did it to live servers too",
        moved=(
            "UnixStreamServer.server_bind",
            "UnixStreamServer.server_close",
            "UnixDatagramServer.server_bind",
            "UnixDatagramServer.server_close",
        ),
    ),
    Difference(
        "the permissions of a Unix server's socket file",
        "what the umask leaves",
        "the same, or those that `socket_mode` asks for",
        "chmod() after binding is too late for a moment",
        added=("socket_mode",),
    ),
    Difference(
        "allow_reuse_port of a Unix server",
        "3.13.0 sets SO_REUSEPORT, which a newer kernel refuses",
        "heeded for AF_INET and AF_INET6 only",
        "a Unix socket has no ports to share",
    ),
    Difference(
        "a path-like Unix address",
        "the socket takes it; server_address is then a str",
        "the same, made a str before it is bound",
        "the path has to be compared and removed later",
    ),
    Difference(
        "get_request() that fails with EMFILE, ENFILE, ENOBUFS or ENOMEM",
        "tried again at once, for ever",
        "pauses, with back-off",
        "a hundred thousand silent attempts a second help nobody",
    ),
    Difference(
        "handle_error()",
        "prints a traceback on stderr",
        "logs to `reactor`; a peer that went away is a debug line",
        "a library does not print; an everyday event is no traceback",
    ),
    Difference(
        "server_close() in a thread of ThreadingMixIn",
        "RuntimeError: cannot join current thread",
        "joins the others",
        "a handler may close its server",
    ),
    Difference(
        "limits, draining, reactors",
        "not there",
        "attributes and methods of their own; off unless asked for",
        "a class has to have somewhere to say so",
        added=(
            "limits",
            "drain_on",
            "event_handler",
            "max_threads",
            "drive_blocking",
            "drive_handler",
        ),
    ),
    Difference(
        "annotations, docstrings, __module__, private names",
        "the standard module's",
        "ours",
        "they describe this code",
    ),
)

ADDED = frozenset(name for each in DIFFERENCES for name in each.added)
MOVED = frozenset(name for each in DIFFERENCES for name in each.moved)
