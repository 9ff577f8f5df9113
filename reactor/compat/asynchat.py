"""The drop-in for the ``asynchat`` that Python 3.12 removed: the same names with the same meaning.

``from reactor.compat import asynchat``, and nothing else changes. `async_chat` reads up to a
terminator, a string or a number of bytes, and writes from a queue of strings and producers.

What has been read is not copied for each line: `ac_in_buffer` is cut to what is left of it only
when somebody looks. So the work is linear in the bytes, however short the lines are.
"""

from collections import deque
from typing import Any as _Any

from reactor.compat import asyncore
from reactor.compat.tracking import Fifo as _Fifo
from reactor.compat.tracking import Watched as _Watched
from reactor.compat.tracking import hook as _hook
from reactor.compat.tracking import predicate as _predicate
from reactor.compat.tracking import stock as _stock

_BYTES = (bytes, bytearray, memoryview)

_append = deque.append  # which tells nobody


class async_chat(asyncore.dispatcher):
    """A conversation: it reads up to a terminator, and writes what was pushed as the peer takes it.

    A subclass defines `collect_incoming_data`, which is given what was read, in pieces, and
    `found_terminator`, called when the terminator, which is not handed over, was found. It says with
    `set_terminator` what that is, and writes with `push`, `push_with_producer` and `close_when_done`.
    `handle_close` closes; override it, and the hooks of `dispatcher`, for more. As the
    documentation of `asynchat` in CPython 3.11 has it.
    """

    ac_in_buffer_size = 65536
    ac_out_buffer_size = 65536

    use_encoding: _Any = 0
    encoding = "latin-1"

    producer_fifo: _Any = _Watched("producer_fifo")

    def __init__(self, sock: _Any = None, map: _Any = None) -> None:
        self._inbox = b""
        self._consumed = 0
        self.incoming: list[_Any] = []
        self.producer_fifo = _Fifo()
        asyncore.dispatcher.__init__(self, sock, map)

    def __init_subclass__(cls, **kwargs: _Any) -> None:
        """A class whose ``ac_in_buffer`` is a mere value begins with that."""
        super().__init_subclass__(**kwargs)
        mine = vars(cls).get("ac_in_buffer")
        if isinstance(mine, bytes | bytearray):
            cls._inbox = mine
            del cls.ac_in_buffer

    _inbox: _Any = b""  # what was read
    _consumed = 0  # how much of that

    @property
    def ac_in_buffer(self) -> _Any:
        """What was read and is not consumed yet."""
        if self._consumed:
            self._inbox = self._inbox[self._consumed :]
            self._consumed = 0
        return self._inbox

    @ac_in_buffer.setter
    def ac_in_buffer(self, data: _Any) -> None:
        self._inbox = data
        self._consumed = 0

    # What a subclass defines

    def collect_incoming_data(self, data: _Any) -> None:
        raise NotImplementedError("must be implemented in subclass")

    def found_terminator(self) -> None:
        raise NotImplementedError("must be implemented in subclass")

    def _collect_incoming_data(self, data: _Any) -> None:
        self.incoming.append(data)

    def _get_data(self) -> _Any:
        data = b"".join(self.incoming)
        del self.incoming[:]
        return data

    # Reading

    def set_terminator(self, term: _Any) -> None:
        """Read up to *term*: a string of any length, a number of bytes, or, with `None` or 0, on and on."""
        if isinstance(term, str) and self.use_encoding:
            term = bytes(term, self.encoding)
        elif isinstance(term, int) and term < 0:
            raise ValueError("the number of received bytes must be positive")
        self.terminator = term

    def get_terminator(self) -> _Any:
        return self.terminator

    def handle_read(self) -> None:
        try:
            data = self.recv(self.ac_in_buffer_size)
        except BlockingIOError:
            return
        except OSError:
            self.handle_error()
            return
        if isinstance(data, str) and self.use_encoding:  # from a recv of its own
            data = bytes(data, self.encoding)
        # Any of the upcalls may change the terminator or the buffer, so both are looked at anew
        # after each of them; what was handed over counts as consumed only when it was taken.
        self._inbox = buffer = self._inbox[self._consumed :] + data  # of the type of what was there
        self._consumed = start = 0
        while start < len(buffer):  # not so of an inbox that somebody emptied, however much is consumed
            terminator = self.get_terminator()
            if not terminator:
                self.collect_incoming_data(buffer[start:])
                self._inbox = b""
            elif isinstance(terminator, int):
                if len(buffer) - start < terminator:
                    self.collect_incoming_data(buffer[start:])
                    self._inbox = b""
                    self.terminator -= len(buffer) - start
                else:
                    self.collect_incoming_data(buffer[start : start + terminator])
                    self._consumed += terminator
                    self.terminator = 0
                    self.found_terminator()
            else:
                found = buffer.find(terminator, start)
                if found >= 0:
                    if found > start:
                        self.collect_incoming_data(buffer[start:found])
                    self._consumed += found - start + len(terminator)
                    self.found_terminator()
                else:
                    tail = buffer[max(start, len(buffer) - len(terminator)) :]
                    begun = find_prefix_at_end(tail, terminator)
                    end = len(buffer) - begun
                    if end > start:
                        self.collect_incoming_data(buffer[start:end])
                        if begun:
                            self._consumed = max(0, len(self._inbox) - begun)
                        else:
                            self._inbox = b""
                    if begun:
                        break
            buffer = self._inbox
            start = self._consumed

    # Writing

    @_hook
    def handle_write(self) -> None:
        self.initiate_send()

    def handle_close(self) -> None:
        self.close()

    def push(self, data: _Any) -> None:
        """Send *data*, what is not taken at once later."""
        if not isinstance(data, _BYTES):
            raise TypeError("data argument must be byte-ish (%r)", type(data))
        fifo = self._now_producer_fifo
        if type(fifo) is not _Fifo or len(data) > self.ac_out_buffer_size:
            self._push_pieces(data)
            return
        _append(fifo, data)
        try:
            self.initiate_send()
        finally:
            if fifo and fifo.seat is not None:
                fifo.seat.tell()  # once, and only where the kernel has to say when to go on

    def _push_pieces(self, data: _Any) -> None:
        size = self.ac_out_buffer_size
        for start in range(0, len(data), size):
            self.producer_fifo.append(data[start : start + size])
        if not data:
            self.producer_fifo.append(data)
        self.initiate_send()

    def push_with_producer(self, producer: _Any) -> None:
        """Send what ``producer.more()`` gives, until that is empty."""
        self.producer_fifo.append(producer)
        self.initiate_send()

    @_predicate()
    def readable(self) -> _Any:
        return 1

    @_predicate("connected", "accepting", "connecting", "producer_fifo")
    def writable(self) -> _Any:
        return self.producer_fifo or (not self.connected)

    def close_when_done(self) -> None:
        """Close when everything before this is sent."""
        self.producer_fifo.append(None)

    @_stock
    def initiate_send(self) -> None:
        while (fifo := self._now_producer_fifo or self.producer_fifo) and (
            self._now_connected or self.connected
        ):
            data = first = fifo[0]
            size = self.ac_out_buffer_size
            if type(first) is not bytes or not 0 < len(first) <= size:
                if not first:
                    del fifo[0]
                    if first is None:
                        self.handle_close()
                        return
                if isinstance(first, str) and self.use_encoding:
                    first = fifo[0] = bytes(first, self.encoding)
                if isinstance(first, _BYTES) and len(first) > size and isinstance(fifo, deque):
                    del fifo[0]  # cut once, or what is left of it is copied after each send
                    fifo.extendleft(first[at : at + size] for at in _backwards(len(first), size))
                    continue
                try:
                    data = first[:size]
                except TypeError:
                    data = first.more()
                    if data:
                        self.producer_fifo.appendleft(data)
                    else:
                        del self.producer_fifo[0]
                    continue
            try:
                sent = self.send(data)
            except OSError:
                self.handle_error()
                return
            if sent:
                fifo = self._now_producer_fifo or self.producer_fifo
                if sent < len(data) or size < len(first):
                    fifo[0] = first[sent:]
                else:
                    del fifo[0]
            return

    def discard_buffers(self) -> None:
        """Forget everything, read or to be sent. For emergencies."""
        self._inbox = b""
        self._consumed = 0
        del self.incoming[:]
        self.producer_fifo.clear()


def _backwards(length: int, step: int) -> range:
    """Where the pieces of something begin, last to first."""
    return range((length - 1) // step * step, -1, -step)


class simple_producer:
    """Gives *data* in pieces of *buffer_size*, for `push_with_producer`. A producer of your own needs no
    more than a `more` that gives the next piece, and nothing at its end. As in CPython 3.11's `asynchat`.
    """

    def __init__(self, data: _Any, buffer_size: int = 512) -> None:
        self.data = data
        self.buffer_size = buffer_size

    def more(self) -> _Any:
        piece = self.data[: self.buffer_size]
        self.data = self.data[self.buffer_size :]
        return piece


def find_prefix_at_end(haystack: _Any, needle: _Any) -> int:
    """How much of the beginning of *needle* stands at the end of *haystack*, short of the whole."""
    length = len(needle) - 1
    while length and not haystack.endswith(needle[:length]):
        length -= 1
    return length


for _class in (async_chat, simple_producer):
    _class.__module__ = "asynchat"
