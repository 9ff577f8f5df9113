"""`Stage`: channels that tell what is done with them, peers, and turns of the loop.

Everything is played in the test's own thread. A peer speaks first, what it said waits in the kernel
(`arrived` makes sure of that), then the loop is driven with no time to wait. What is told is told in
plain values without this run's numbers.
"""

import io
import re
import select
import socket
import struct
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from typing import Any

from reactor.compat.resting import Rests
from tests.compat.implementations import Library

PATIENCE = 20.0

#: What the loop calls or asks on what is in its map.
CALLED = ("handle_read_event", "handle_write_event", "handle_expt_event", "handle_close", "handle_error")
PREDICATES = ("readable", "writable")
#: What a `dispatcher` has besides, to call and to override.
HOOKS = (
    *CALLED,
    "handle_connect_event",
    "handle_read",
    "handle_write",
    "handle_expt",
    "handle_connect",
    "handle_accept",
    "handle_accepted",
    "add_channel",
    "del_channel",
    "set_socket",
    "create_socket",
    "set_reuse_addr",
    "bind",
    "listen",
    "connect",
    "accept",
    "send",
    "recv",
    "close",
    "log",
    "log_info",
)
WITH_SEND = (*HOOKS, "initiate_send")
CHAT = (
    *HOOKS,
    "initiate_send",
    "collect_incoming_data",
    "found_terminator",
    "set_terminator",
    "get_terminator",
    "push",
    "push_with_producer",
    "close_when_done",
    "discard_buffers",
    "_collect_incoming_data",
    "_get_data",
)
DRIVERS = ("loop", "loop with poll", "poll", "poll2")


def tidy(text: str) -> str:
    """Without addresses in memory, ports, and other people's lines."""
    text = re.sub(r"\b0x[0-9a-f]+|(?<=object at )[0-9a-f]+", "0x", text)
    text = re.sub(r"127\.0\.0\.1(:|', )\d+", "127.0.0.1", text)
    text = re.sub(r"(<class '(Type|Attribute)Error'>:).* \[", r"\1 [", text)  # in the interpreter's words
    return re.sub(r"(\[[^][|]*\|[^][|]*\|\d+\] ?)+", "[traceback]", text)


def plain(value: Any) -> Any:
    """*value* without what differs from run to run."""
    if isinstance(value, BaseException):
        return (type(value).__name__, value.errno) if isinstance(value, OSError) else type(value).__name__
    if isinstance(value, bool | int | float | bytes) or value is None:
        return value
    if isinstance(value, str):
        return tidy(value)
    if isinstance(value, bytearray | memoryview):
        return (type(value).__name__, bytes(value))
    if isinstance(value, tuple | list):
        if len(value) == 2 and value[0] == "127.0.0.1":
            return "an address"
        return [plain(each) for each in value]
    return f"a {type(value).__name__}"


class Error(Exception):
    """What a hook raises on purpose."""


class Endless(BaseException):
    """Something goes on and on."""


class Stage:
    """Write with `note`; read with `lines` at the end."""

    def __init__(self, library: Library, driver: str = "loop") -> None:
        self.library, self.driver = library, driver
        self.asyncore, self.asynchat = library.asyncore, library.asynchat
        self.map: Any = {}
        self._lines: list[Any] = []
        self._open = ExitStack()
        self._made: list[Any] = []
        for cls in (socket.socket, library.asyncore.file_wrapper):
            self._replace(cls, "__init__", self._noticed(cls.__init__))
        # That ours lets a channel rest is a difference of its own; here it would hide others.
        self._replace(Rests, "begin", lambda *args: None)
        self.printed = io.StringIO()

    def note(self, *words: Any) -> None:
        if len(self._lines) > 2000:
            raise Endless
        self._lines.append(tuple(plain(word) for word in words))

    def lines(self) -> list[Any]:
        """All of it, what was printed at the end."""
        return [*self._lines, *map(tidy, self.printed.getvalue().splitlines())]

    def returns(self, what: str, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Call *function*; write what it returned, or that it raised, which ends here."""
        try:
            result = function(*args, **options)
        except BaseException as exc:
            self.note(what, "raised", exc)
            return None
        self.note(what, "returned", result)
        return result

    def _replace(self, cls: Any, name: str, value: Any) -> None:
        """Until the end; `mock.patch` would take longer than the plays."""
        self._open.callback(setattr, cls, name, vars(cls)[name])
        setattr(cls, name, value)

    def _noticed(self, init: Any) -> Any:
        """Remember what is made: whoever gets a socket may have been overridden, and never close it."""

        def __init__(made: Any, *args: Any, **options: Any) -> None:
            init(made, *args, **options)
            self._made.append(made)

        return __init__

    # Sockets

    def holding(self, thing: Any) -> Any:
        """*thing*, closed at the end."""
        self._open.callback(thing.close)
        return thing

    def close(self) -> None:
        self._open.close()
        for made in self._made:
            made.close()
        self.asyncore.socket_map.clear()

    def pair(self, tcp: bool = False) -> tuple[socket.socket, socket.socket]:
        """Ours and the peer's. TCP where urgent data or a reset is wanted."""
        if not tcp:
            ours, peer = socket.socketpair()
        else:
            with self.listener() as listener:
                peer = socket.create_connection(listener.getsockname(), PATIENCE)
                ours, _ = listener.accept()
        peer.settimeout(PATIENCE)
        return self.holding(ours), self.holding(peer)

    def listener(self) -> socket.socket:
        listener: socket.socket = self.holding(socket.create_server(("127.0.0.1", 0)))
        listener.settimeout(PATIENCE)
        return listener

    def folder(self) -> str:
        return self._open.enter_context(tempfile.TemporaryDirectory())

    @staticmethod
    def arrived(sock: Any, event: int = select.POLLIN) -> None:
        """Wait until the kernel has *event* for the socket."""
        poll = select.poll()
        poll.register(sock, event)
        assert poll.poll(PATIENCE * 1000), f"{event} never came"

    @staticmethod
    def crash(sock: socket.socket) -> None:
        """Close with a reset; TCP only."""
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()

    def hear(self, peer: socket.socket, what: str = "peer hears") -> None:
        """Write what has come to the peer, without waiting."""
        peer.setblocking(False)
        data = b""
        try:
            while more := peer.recv(1 << 16):
                data += more
            self.note(what, data, "and EOF")
        except BlockingIOError:
            self.note(what, data)
        except OSError as exc:
            self.note(what, data, exc)
        peer.settimeout(PATIENCE)

    # Channels

    def base(self, kind: str) -> Any:
        """The class of that name."""
        return getattr(self.asynchat if kind == "async_chat" else self.asyncore, kind)

    def telling(self, base: Any, hooks: tuple[str, ...]) -> Any:
        """A subclass that tells of every call of these *hooks*."""
        note = self.note

        def tell(hook: str) -> Callable[..., Any]:
            original = getattr(base, hook)

            def method(channel: Any, *args: Any, **options: Any) -> Any:
                note(hook, *args, *([sys.exception()] if hook == "handle_error" else []))
                try:
                    result = original(channel, *args, **options)
                except BaseException as exc:
                    note(hook, "raised", exc)
                    raise
                if result is not None:
                    note(hook, "returned", result)
                return result

            return method

        return type("Channel", (base,), {hook: tell(hook) for hook in hooks if hasattr(base, hook)})

    def state(self, channel: Any) -> None:
        """Write what the channel knows of itself."""
        sock = getattr(channel, "socket", None)
        self.note(
            "state",
            *(bool(getattr(channel, name)) for name in ("connected", "accepting", "connecting", "closing")),
            "in the map" if channel in self.map.values() else "not in the map",
            "no socket" if sock is None else "closed" if sock.fileno() < 0 else "open",
        )

    # Turns

    def turn(self, times: int = 1, timeout: float = 0.0) -> None:
        """Drive the loop. What comes through it is told."""
        for _ in range(times):
            self.note("turn")
            try:
                self.drive(timeout)
            except BaseException as exc:
                self.note("the loop raised", exc)

    def drive(self, timeout: float = 0.0) -> None:
        if self.driver.startswith("loop"):
            self.asyncore.loop(timeout, self.driver == "loop with poll", self.map, 1)
        else:
            getattr(self.asyncore, self.driver)(timeout, self.map)


@contextmanager
def stage(library: Library, driver: str = "loop") -> Iterator[Stage]:
    play = Stage(library, driver)
    try:
        with redirect_stdout(play.printed), redirect_stderr(play.printed):
            yield play
    finally:
        play.close()
