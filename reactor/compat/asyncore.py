"""The drop-in for the ``asyncore`` that Python 3.12 removed: the same names with the same meaning.

``from reactor.compat import asyncore`` in place of ``import asyncore``, and nothing else changes.
Underneath, the channels of a map stay in one selector; whom the loop asks ``readable()`` and
``writable()`` every turn and whom it need not ask is told at the head of `polling`.

Programs and tests patch this module from outside, so every global stands here and is used where
it stands: ``select``, ``socket``, ``time``, ``os``, ``sys``, ``socket_map``, ``read``, ``poll`` and
the rest. A program that puts something else in ``select``'s place has meant that: the loop then
asks everybody and waits there, as it always did.

One name is new: `reactor`, the `Reactor` in which a map's loop waits, with its timers and its waker.
"""

import os
import select
import socket
import sys
import time
import warnings
from errno import (
    EAGAIN,
    EALREADY,
    EBADF,
    ECONNABORTED,
    ECONNRESET,
    EINPROGRESS,
    EINVAL,
    EISCONN,
    ENOTCONN,
    EPIPE,
    ESHUTDOWN,
    EWOULDBLOCK,
    errorcode,
)
from typing import Any as _Any

from reactor import backoff as _backoff
from reactor.compat import flags as _flags
from reactor.compat import hosting as _hosting
from reactor.compat import polling as _polling
from reactor.compat.passage import let_through as _let_through
from reactor.compat.tracking import Channel as _Channel
from reactor.compat.tracking import Watched as _Watched
from reactor.compat.tracking import hook as _hook
from reactor.compat.tracking import predicate as _predicate
from reactor.log import Throttle as _Throttle
from reactor.loop import Reactor as _Reactor

_DISCONNECTED = frozenset({EBADF, ECONNABORTED, ECONNRESET, ENOTCONN, EPIPE, ESHUTDOWN})

socket_map: dict[_Any, _Any] = {}


def _strerror(err: int) -> str:
    try:
        return os.strerror(err)
    except (ValueError, OverflowError, NameError):
        return errorcode.get(err, f"Unknown error {err}")


class ExitNow(Exception):
    """Raised in any hook, it ends the loop: it leaves `loop` and closes nothing, whereas other exceptions go
    to that channel's `handle_error`."""


_reraised_exceptions = (ExitNow, KeyboardInterrupt, SystemExit)

# One event each


def read(obj: _Any) -> None:
    """Deliver that *obj* can be read; what it raises goes to its `handle_error`."""
    try:
        obj.handle_read_event()
    except _reraised_exceptions:
        raise
    except BaseException:
        obj.handle_error()


def write(obj: _Any) -> None:
    """Deliver that *obj* can be written; what it raises goes to its `handle_error`."""
    try:
        obj.handle_write_event()
    except _reraised_exceptions:
        raise
    except BaseException:
        obj.handle_error()


def _exception(obj: _Any) -> None:
    try:
        obj.handle_expt_event()
    except _reraised_exceptions:
        raise
    except BaseException:
        obj.handle_error()


def readwrite(obj: _Any, flags: int) -> None:
    """Deliver what poll(2) says: all of *flags*, until one raises."""
    try:
        if flags & _flags.IN:
            obj.handle_read_event()
        if flags == _flags.IN:  # as usual
            return
        if flags & _flags.OUT:
            obj.handle_write_event()
        if flags & _flags.PRI:
            obj.handle_expt_event()
        if flags & _flags.GONE:
            obj.handle_close()
    except _reraised_exceptions:
        raise
    except BaseException as exc:
        if isinstance(exc, OSError) and exc.errno in _DISCONNECTED:
            obj.handle_close()
        else:
            obj.handle_error()


# The loop

_ORIGINAL = (select, *(getattr(select, name, None) for name in ("select", "poll", "epoll")))


def _is_patched() -> bool:
    """Whether the program brought a ``select`` of its own."""
    return (
        select is not _ORIGINAL[0]
        or select.select is not _ORIGINAL[1]
        or getattr(select, "poll", None) is not _ORIGINAL[2]
        or getattr(select, "epoll", None) is not _ORIGINAL[3]
    )


def poll(timeout: float | None = 0.0, map: _Any = None) -> None:
    """Take one turn: all that can be read, then all that can be written, then what is urgent."""
    if map is None:
        map = socket_map
    if not map:
        return
    if _is_patched() or not _ORIGINAL[2]:
        _select_turn(timeout, map)
        return
    if timeout is not None and timeout < 0:
        raise ValueError("timeout must be non-negative")
    poller = _polling.poller_of(map)
    if not poller.prepare(True):
        time.sleep(timeout)  # type: ignore[arg-type]
        return
    ready, here = poller.wait(timeout, True)
    more = 0
    for fd, flags in ready:
        more |= flags
        if flags & _flags.IN:
            obj = here.get(fd)
            if obj is not None and map.get(fd) is obj:
                read(obj)
            else:
                poller.is_unlike(fd)
    if more & ~_flags.IN:
        for kind, deliver in ((_flags.OUT, write), (_flags.PRI, _exception), (_flags.NVAL, _invalid)):
            for fd, flags in ready:
                if flags & kind:
                    obj = here.get(fd)
                    if obj is not None and map.get(fd) is obj:
                        deliver(obj)


def _invalid(obj: _Any) -> None:
    readwrite(obj, _flags.NVAL)


def poll2(timeout: float | None = 0.0, map: _Any = None) -> None:
    """Take one turn: all events of one channel, then those of the next."""
    if map is None:
        map = socket_map
    if not map:
        return
    if _is_patched():
        _poll_turn(timeout, map)
        return
    if timeout is not None:
        timeout = None if timeout < 0 else int(timeout * 1000) / 1000
    poller = _polling.poller_of(map)
    poller.prepare(False)
    ready, here = poller.wait(timeout, False)
    for fd, flags in ready:
        obj = here.get(fd)
        if obj is not None and map.get(fd) is obj:
            readwrite(obj, flags)
        else:
            poller.is_unlike(fd)


poll3 = poll2


def loop(
    timeout: float | None = 30.0, use_poll: bool = False, map: _Any = None, count: int | None = None
) -> None:
    """Take turns until *map* is empty, or *count* of them. The same selector serves, whatever *use_poll*
    says; it decides the order of events within a turn, and which of `poll` and `poll2` is called."""
    if map is None:
        map = socket_map
    turn = poll2 if use_poll and hasattr(select, "poll") else poll
    poller = _polling.poller_of(map) if map else None  # is kept while this runs
    if count is None:
        while map:
            turn(timeout, map)
    else:
        while map and count > 0:
            turn(timeout, map)
            count -= 1
    del poller  # and so is its selector, unless somebody in the map keeps it


def reactor(map: _Any = None) -> _Reactor:
    """The `Reactor` in which the loop of *map* waits, made by the first call: for ``call_later``,
    ``call_soon_threadsafe``, and new handlers beside the channels. `loop` drives it; so does its `run`,
    which drives the map. Closing it closes what is in the map."""
    if map is None:
        map = socket_map
    hosted = _hosting.host_of(map)
    if hosted is not None:
        return hosted.reactor
    made = _Reactor()
    _host(map, made)
    return made


def _host(map: _Any, reactor: _Reactor) -> None:
    _hosting.host(
        map,
        reactor,
        turn=lambda: poll(0.0, map),
        ends=lambda exc: isinstance(exc, ExitNow),
        close_all=lambda: close_all(map, ignore_all=True),
    )


# Where ``select`` was patched, or is all there is


def _select_turn(timeout: float | None, map: _Any) -> None:
    reading: list[_Any] = []
    writing: list[_Any] = []
    either: list[_Any] = []
    for fd, obj in list(map.items()):
        reads = obj.readable()
        writes = obj.writable()
        if reads:
            reading.append(fd)
        if writes and not obj.accepting:
            writing.append(fd)
        if reads or writes:
            either.append(fd)
    if not either:
        time.sleep(timeout)  # type: ignore[arg-type]
        return
    ready = select.select(reading, writing, either, timeout)
    for fds, deliver in zip(ready, (read, write, _exception), strict=True):
        for fd in fds:
            obj = map.get(fd)
            if obj is not None:
                deliver(obj)


def _poll_turn(timeout: float | None, map: _Any) -> None:
    waiting = select.poll()
    for fd, obj in list(map.items()):
        flags = 0
        if obj.readable():
            flags = select.POLLIN | select.POLLPRI
        if obj.writable() and not obj.accepting:
            flags |= select.POLLOUT
        if flags:
            waiting.register(fd, flags)
    for fd, flags in waiting.poll(timeout if timeout is None else int(timeout * 1000)):
        obj = map.get(fd)
        if obj is not None:
            readwrite(obj, flags)


# The channels


class dispatcher(_Channel):
    """A socket, what is known of it, and the hooks that a program overrides.

    To call: `create_socket`, then `connect`, or `bind` and `listen`; `send`, `recv`, `close`. Made with
    *sock*, it has its connection already. *map*: where its loop finds it, by default `socket_map`.
    To override: `handle_connect`, `handle_accepted`, `handle_read`, `handle_write`, `handle_close`,
    `handle_expt` and `handle_error`; `readable` and `writable` where the answer is not always yes, which
    are then asked every turn. All of it as the documentation of `asyncore` in CPython 3.11 has it.
    """

    debug = False
    connected: _Any = _Watched("connected")
    accepting: _Any = _Watched("accepting")
    connecting: _Any = _Watched("connecting")
    closing = False
    addr: _Any = None
    ignore_log_types: _Any = frozenset({"warning"})

    _accepting_rests: _backoff.Backoff | None = None
    _registration: _hosting.ChannelHandler | None = None
    _spoilt = False  # by a datagram
    _spoilt_in_a_row = 0

    def __init__(self, sock: _Any = None, map: _Any = None) -> None:
        self._map = socket_map if map is None else map
        self._fileno: _Any = None
        if not sock:
            self.socket = None
            return
        sock.setblocking(False)
        self.set_socket(sock, map)
        self.connected = True
        try:
            self.addr = sock.getpeername()
        except OSError as exc:
            if exc.errno not in (ENOTCONN, EINVAL):
                self.del_channel(map)  # broken: nobody should wait for it
                raise
            self.connected = False

    def __repr__(self) -> str:
        words = [f"{type(self).__module__}.{type(self).__qualname__}"]
        if self.accepting and self.addr:
            words.append("listening")
        elif self.connected:
            words.append("connected")
        if self.addr is not None:
            try:
                words.append("%s:%d" % self.addr)  # noqa: UP031 - the one that takes a tuple of two only
            except TypeError:
                words.append(repr(self.addr))
        return f"<{' '.join(words)} at {id(self):#x}>"

    def add_channel(self, map: _Any = None) -> None:
        if map is None:
            map = self._map
        map[self._fileno] = self
        poller = _polling.existing_poller(map)
        if poller is not None:
            poller.added(self._fileno, self)

    def del_channel(self, map: _Any = None) -> None:
        fd = self._fileno
        if map is None:
            map = self._map
        if fd in map:
            del map[fd]
            poller = _polling.existing_poller(map)
            if poller is not None:
                poller.removed(fd)
        self._fileno = None
        if self._registration is not None:
            self._registration.left()

    # Made, bound, connected

    def create_socket(self, family: int = socket.AF_INET, type: int = socket.SOCK_STREAM) -> None:
        self.family_and_type = family, type
        sock = socket.socket(family, type)
        sock.setblocking(False)
        self.set_socket(sock)

    socket: _Any = _Watched("socket", anew=True)  # above this line it is the module

    def set_socket(self, sock: _Any, map: _Any = None) -> None:
        self.socket = sock
        self._fileno = sock.fileno()
        self.add_channel(map)

    def set_reuse_addr(self) -> None:
        try:
            old = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, old | 1)
        except OSError:
            pass

    def listen(self, num: int) -> _Any:
        self.accepting = True
        if os.name == "nt":
            num = min(num, 5)
        return self.socket.listen(num)

    def bind(self, addr: _Any) -> _Any:
        self.addr = addr
        return self.socket.bind(addr)

    def connect(self, address: _Any) -> None:
        self.connected = False
        self.connecting = True
        err = self.socket.connect_ex(address)
        if err in (EINPROGRESS, EALREADY, EWOULDBLOCK) or (err == EINVAL and os.name == "nt"):
            self.addr = address
        elif err in (0, EISCONN):
            self.addr = address
            self.handle_connect_event()
        else:
            raise OSError(err, errorcode[err])

    # Asked by the loop

    @_predicate()
    def readable(self) -> _Any:
        return True

    @_predicate("connected", "accepting", "connecting")
    def writable(self) -> _Any:
        return True

    # What the socket does

    def accept(self) -> _Any:
        """The new connection and its address, or `None` if there is none to be had now."""
        try:
            conn, addr = self.socket.accept()
        except TypeError:
            return None
        except OSError as exc:
            if exc.errno in (EWOULDBLOCK, EAGAIN, ECONNABORTED) or _backoff.is_of_one_request(exc):
                return None
            if exc.errno not in _flags.SHORTAGE:
                raise
            self._rest_from_accepting(exc)
            return None
        if self._accepting_rests is not None:
            self._accepting_rests.succeeded()
        return conn, addr

    def _rest_from_accepting(self, exc: OSError) -> None:
        if self._accepting_rests is None:
            self._accepting_rests = _backoff.Backoff()
        seconds = self._accepting_rests.failed(exc)
        if self._seat is not None:
            self._seat.rest(_flags.READ, seconds)
        _throttle.warning(time.monotonic(), "accept", f"{self!r} cannot accept for want of resources: {exc}")

    def send(self, data: _Any) -> _Any:
        try:
            return (self._now_socket or self.socket).send(data)
        except OSError as exc:
            if exc.errno == EWOULDBLOCK:
                return 0
            if exc.errno in _DISCONNECTED:
                self.handle_close()
                return 0
            raise

    def recv(self, buffer_size: int) -> _Any:
        try:
            data = (self._now_socket or self.socket).recv(buffer_size)
        except OSError as exc:
            if exc.errno not in _DISCONNECTED:
                raise
            data = b""
            if exc.errno != EBADF and _polling.is_datagram(self.socket):
                return data
        else:
            if data:
                return data
            if _polling.is_datagram(self.socket):
                return data  # an empty one is no end
        self.handle_close()
        return b""

    def close(self) -> None:
        self.connected = False
        self.accepting = False
        self.connecting = False
        self.del_channel()
        if self.socket is not None:
            try:
                self.socket.close()
            except OSError as exc:
                if exc.errno not in (ENOTCONN, EBADF):
                    raise

    def fileno(self) -> int:
        """The descriptor, so that a channel can be registered with a `Reactor`."""
        return int(self.socket.fileno())

    def event_handler(self, reactor: _Reactor) -> _hosting.ChannelHandler:
        """What a reactor registers for this channel. Its whole map comes along: what a listener accepts is
        served in that reactor as well."""
        if self._fileno is None:  # it was registered before
            self._fileno = self.socket.fileno()
            self.add_channel()
        _host(self._map, reactor)
        return _hosting.ChannelHandler(self, reactor)

    # Told to people

    def log(self, message: _Any) -> None:
        sys.stderr.write(f"log: {message}\n")

    def log_info(self, message: _Any, type: str = "info") -> None:
        if type not in self.ignore_log_types:
            print(f"{type}: {message}")

    # Called by the loop

    def handle_read_event(self) -> None:
        if not self._now_open:
            if self.accepting:
                self.handle_accept()
                return
            if not self.connected and self.connecting:
                self.handle_connect_event()
        try:
            self.handle_read()
        except Exception:
            self._spoilt = _polling.is_datagram(self.socket)
            raise

    def handle_connect_event(self) -> None:
        err = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if err:
            self.connecting = False  # the system says so once, and then that all is well
            raise OSError(err, _strerror(err))
        self.handle_connect()
        self.connected = True
        self.connecting = False

    @_hook
    def handle_write_event(self) -> None:
        if self.accepting:
            return
        if not self.connected and self.connecting:
            self.handle_connect_event()
        self.handle_write()

    @_hook
    def handle_expt_event(self) -> None:
        if self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.handle_close()
        else:
            self.handle_expt()

    def handle_error(self) -> None:
        _, kind, value, where = compact_traceback()
        try:
            me = repr(self)
        except BaseException:  # a program's own may be what is broken
            me = f"<__repr__(self) failed for object at {id(self):0x}>"
        spoilt, self._spoilt = self._spoilt, False
        fate = "dropping a datagram of" if spoilt else "closing channel"
        self.log_info(f"uncaptured python exception, {fate} {me} ({kind}:{value} {where})", "error")
        if not spoilt:
            self.handle_close()
            return
        self._spoilt_in_a_row += 1
        if self._spoilt_in_a_row >= _backoff.IN_A_ROW:  # by one that is never read, perhaps
            self._spoilt_in_a_row = 0
            if self._seat is not None:
                self._seat.rest(_flags.READ, _backoff.FIRST_PAUSE)

    @_hook
    def handle_expt(self) -> None:
        self.log_info("unhandled incoming priority event", "warning")

    def handle_read(self) -> None:
        self.log_info("unhandled read event", "warning")

    @_hook
    def handle_write(self) -> None:
        self.log_info("unhandled write event", "warning")

    def handle_connect(self) -> None:
        self.log_info("unhandled connect event", "warning")

    def handle_accept(self) -> None:
        pair = self.accept()
        if pair is not None:
            self.handle_accepted(*pair)

    def handle_accepted(self, sock: _Any, addr: _Any) -> None:
        sock.close()
        self.log_info("unhandled accepted event", "warning")

    def handle_close(self) -> None:
        self.log_info("unhandled close event", "warning")
        self.close()


_throttle = _Throttle()


_let_through(dispatcher, socket.socket)


class dispatcher_with_send(dispatcher):
    """A dispatcher whose `send` keeps what the system does not take yet, in `out_buffer`.

    For clients and servers that write more than they wait for; override `handle_read` and the rest as with
    `dispatcher`, but leave `writable` and `handle_write` to it. From `asyncore` in CPython 3.11, whose
    documentation says the same.
    """

    out_buffer: _Any = _Watched("out_buffer")

    def __init__(self, sock: _Any = None, map: _Any = None) -> None:
        dispatcher.__init__(self, sock, map)
        self.out_buffer = b""

    def initiate_send(self) -> None:
        sent = dispatcher.send(self, self.out_buffer[:65536])
        self.out_buffer = self.out_buffer[sent:]

    def handle_write(self) -> None:
        self.initiate_send()

    @_predicate("connected", "accepting", "connecting", "out_buffer")
    def writable(self) -> _Any:
        return (not self.connected) or len(self.out_buffer)

    def send(self, data: _Any) -> None:
        if self.debug:
            self.log_info(f"sending {data!r}")
        self.out_buffer = self.out_buffer + data
        self.initiate_send()


# For debugging, and the end


def compact_traceback() -> tuple[tuple[str, str, str], _Any, _Any, str]:
    """The exception being handled: where it was raised, its type and value, and its way here in one line."""
    kind, value, trace = sys.exc_info()
    if not trace:
        raise AssertionError("traceback does not exist")
    way = []
    while trace:
        code = trace.tb_frame.f_code
        way.append((code.co_filename, code.co_name, str(trace.tb_lineno)))
        trace = trace.tb_next
    return way[-1], kind, value, " ".join("[{}|{}|{}]".format(*place) for place in way)


def close_all(map: _Any = None, ignore_all: bool = False) -> None:
    """Close every channel in *map* and empty it. *ignore_all*: whatever they raise."""
    if map is None:
        map = socket_map
    for channel in list(map.values()):
        try:
            channel.close()
        except _reraised_exceptions:
            raise
        except BaseException as exc:
            if not ignore_all and not (isinstance(exc, OSError) and exc.errno == EBADF):
                raise
    map.clear()


# Files: pipes, terminals and whatever else the system can wait for

if os.name == "posix":

    class file_wrapper:
        """A descriptor of its own (it duplicates *fd*) for an open file, that looks like a socket to a
        dispatcher: `recv` and `send`, or `read` and `write`, `fileno`, `close`. There is nothing to override.
        From `asyncore` in CPython 3.11, whose documentation describes it; Unix only.
        """

        def __init__(self, fd: int) -> None:
            self.fd = os.dup(fd)

        def __del__(self) -> None:
            if self.fd >= 0:
                warnings.warn(f"unclosed file {self!r}", ResourceWarning, stacklevel=1, source=self)
            self.close()

        def recv(self, *args: _Any) -> bytes:
            return os.read(self.fd, *args)

        def send(self, *args: _Any) -> int:
            return os.write(self.fd, *args)

        def getsockopt(self, level: int, optname: int, buflen: int | None = None) -> int:
            if (level, optname) == (socket.SOL_SOCKET, socket.SO_ERROR) and not buflen:
                return 0
            raise NotImplementedError("Only asyncore specific behaviour implemented.")

        read = recv
        write = send

        def close(self) -> None:
            if self.fd >= 0:
                fd, self.fd = self.fd, -1
                os.close(fd)

        def fileno(self) -> int:
            return self.fd

    class file_dispatcher(dispatcher):
        """A dispatcher of an open file: *fd* is a number, or has a `fileno`; it is duplicated and made
        non-blocking. For pipes, terminals and whatever else can be waited for.

        Override `handle_read`, `handle_write` and the rest as with `dispatcher`; `recv` and `send` read and
        write the file. From `asyncore` in CPython 3.11, whose documentation describes it; Unix only.
        """

        def __init__(self, fd: _Any, map: _Any = None) -> None:
            dispatcher.__init__(self, None, map)
            self.connected = True
            try:
                fd = fd.fileno()
            except AttributeError:
                pass
            self.set_file(fd)
            os.set_blocking(fd, False)

        def set_file(self, fd: int) -> None:
            self.socket = file_wrapper(fd)
            self._fileno = self.socket.fileno()
            self.add_channel()


for _name in ("ExitNow", "dispatcher", "dispatcher_with_send", "file_wrapper", "file_dispatcher"):
    if _name in globals():
        globals()[_name].__module__ = "asyncore"  # as programs know them, and see them printed
