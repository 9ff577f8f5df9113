"""The events of poll(2) and epoll(7), by one name each, also where the system has none; and an errno."""

import errno
import select

IN: int = getattr(select, "POLLIN", 1)
PRI: int = getattr(select, "POLLPRI", 2)
OUT: int = getattr(select, "POLLOUT", 4)
ERR: int = getattr(select, "POLLERR", 8)
HUP: int = getattr(select, "POLLHUP", 16)
NVAL: int = getattr(select, "POLLNVAL", 32)
RDHUP: int = getattr(select, "POLLRDHUP", 0)
READ = IN | PRI | RDHUP
GONE = HUP | ERR | NVAL
ALL = READ | OUT | GONE

#: The system's want of something that others will give back.
SHORTAGE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ENOSPC})
