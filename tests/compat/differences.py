"""What differs from asyncore and asynchat on purpose, each with its reason; no scenario compares it.

To be reviewed as a whole: what is not in this table has to be the same. The suite takes the names
that we add from here.
"""

import socket
from typing import NamedTuple


class Difference(NamedTuple):
    """*standard* behaviour, *ours*, and *why*; the public names that we have *added*."""

    what: str
    standard: str
    ours: str
    why: str
    added: tuple[str, ...] = ()


#: Attributes of a channel that decide who is asked, by which the loop is told of every change.
WATCHED = ("accepting", "connected", "connecting", "out_buffer", "producer_fifo", "socket")

DIFFERENCES = (
    Difference(
        "more than 1,024 descriptors",
        "ValueError from select(), unless use_poll is true",
        "any number, whatever use_poll says",
        "select() cannot count further; nobody depends on that",
    ),
    Difference(
        "a descriptor that is closed and used again within one turn",
        "the new channel gets the old one's event",
        "it gets its own, from the next turn on; so does any object that is put in another's place",
        "an event is for the one it was waited for: cpython issue 75114",
    ),
    Difference(
        "a turn within a turn",
        "afterwards the outer one delivers what the inner one has seen to",
        "the outer one ends with it",
        "those events are stale; what is still there comes again",
    ),
    Difference(
        "accept() for want of descriptors or memory",
        "OSError: the listener is closed by handle_error(), or the loop spins",
        "returns None; the listener rests, with back-off, and a warning is logged once a second",
        "others will give back what it lacks",
    ),
    Difference(
        "accept() that fails for the sake of one connection: it was reset, refused, cut off",
        "returns None for ECONNABORTED; else OSError, and the listener is closed by handle_error()",
        "returns None",
        "the next one may be as good as any",
    ),
    Difference(
        "an event that its handlers leave where it is: end of file, a hang-up, an urgent byte",
        "comes every turn, at once",
        "comes again after a rest, longer each time, at most a second",
        "half-closed peers and urgent data do not burn a core",
    ),
    Difference(
        "a write event that would come to nothing that the program could see",
        "is called every turn, at once; no turn waits for its timeout",
        "is not asked for",
        "a dispatcher with a stock writable() is always writable, and burns a core",
    ),
    Difference(
        "an error of a datagram socket, and an exception out of its handle_read()",
        "closes it",
        "drops that datagram",
        "anybody can send one",
    ),
    Difference(
        "a connection that is refused, and left open by its handlers",
        "is connected, says the next event",
        "is not connected, nor connecting",
        "the system tells the cause once, and it is told to handle_error()",
    ),
    Difference(
        "an OSError that handle_close() raises when recv() has called it",
        "recv() calls it again",
        "comes through",
        "one end, one call",
    ),
    Difference(
        "a descriptor that is closed behind the loop's back and left in the map",
        "OSError out of loop(), or, if use_poll is true, handle_close() every turn",
        "handle_close(), when a wait has ended with nothing to do",
        "epoll forgets it without a word; to look would cost a call for each channel and turn",
    ),
    Difference(
        "a channel that never got a socket",
        "has no attribute `socket`, and closing it is an AttributeError",
        "has None",
        "nobody meant that error",
    ),
    Difference(
        "the attributes that decide who is asked, in a channel's __dict__",
        "are there, and may be set there",
        "are kept elsewhere",
        "the loop has to be told when one is set",
    ),
    Difference(
        "a map keyed by sockets, or others that have a fileno()",
        "works unless use_poll is true",
        "works",
        "poll() tells numbers, under which nothing is found",
    ),
    Difference(
        "use_poll",
        "chooses select() or poll()",
        "chooses the order of a turn, and whether a hang-up calls handle_close(); the selector is the same",
        "there is one that is better than both",
    ),
    Difference(
        "async_chat.ac_in_buffer_size bytes of short lines",
        "each line copies what is left of the buffer",
        "are copied once; ac_in_buffer is what is left when it is looked at",
        "the work is linear in the bytes",
    ),
    Difference(
        "an item in producer_fifo longer than ac_out_buffer_size; a str in it",
        "is cut as it is sent; a str by the number of bytes that went, whatever its encoding",
        "is cut in the queue, a str after it was encoded",
        "the work is linear in the bytes; no byte of a wide character is lost or sent twice",
    ),
    Difference(
        "an attribute that a dispatcher has not and its socket has",
        "AttributeError; Python 2 gave the socket's",
        "the socket's, with a DeprecationWarning",
        "programs of that age still say so",
        added=tuple(name for name in dir(socket.socket) if not name.startswith("_")),
    ),
    Difference(
        "fileno(), and being registered with a `Reactor`",
        "not there; a Reactor does not know dispatchers",
        "there",
        "a program can move over one class at a time, and have timers and a waker until then",
        added=("event_handler", "reactor", "ac_in_buffer", "out_buffer", "producer_fifo", "socket"),
    ),
    Difference(
        "annotations, docstrings, private names, what else the modules have imported",
        "the standard modules'",
        "ours",
        "they describe this code",
    ),
)

ADDED = frozenset(name for each in DIFFERENCES for name in each.added)
