"""All rows. A file that defines some is imported here."""

from tests.abuse.rows import coming_and_going, datagrams, handlers, kernel, requests, room, the_end, unread

__all__ = ["coming_and_going", "datagrams", "handlers", "kernel", "requests", "room", "the_end", "unread"]
