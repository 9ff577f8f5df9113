"""The commands of kv.py: a store of byte strings, and a method for each command. No I/O in here.

A method `do_NAME` takes the command's arguments and gives the reply, in the bytes of Redis's protocol.
"""

import fnmatch
import math
from collections.abc import Callable, Iterable
from inspect import signature
from typing import Any

#: Bytes of the longest command, and so of the longest value.
LARGEST = 1 << 20
#: Bytes of values in the longest reply: one key can be asked for over and over in one MGET.
LARGEST_REPLY = 64 << 20

OK = b"+OK\r\n"
NIL = b"$-1\r\n"


class CommandError(Exception):
    """What is answered instead of a result."""


def bulk(value: bytes | None) -> bytes:
    return NIL if value is None else b"$%d\r\n%b\r\n" % (len(value), value)


def number(value: int) -> bytes:
    return b":%d\r\n" % value


def array(replies: Iterable[bytes]) -> bytes:
    replies = list(replies)
    return b"*%d\r\n%b" % (len(replies), b"".join(replies))


def text(data: bytes) -> str:
    """What a stranger wrote, in quotes, with nothing in it that a reply could not hold."""
    return ascii(data.decode("latin-1"))


def integer(data: bytes) -> int:
    """An argument or a value as a number: 64 bits, written in the one usual way."""
    try:
        value = int(data)
    except ValueError:
        value = 0
    if b"%d" % value != data or not -(2**63) <= value < 2**63:
        raise CommandError("ERR value is not an integer or out of range")
    return value


class Store:
    """The keys, and a method for each command, which takes its arguments and gives the reply.

    *call_later* and *clock* are the loop's: what `call_later(seconds, callback, key)` gives can be cancelled.
    """

    def __init__(self, call_later: Callable[..., Any], clock: Callable[[], float]) -> None:
        self.values: dict[bytes, bytes] = {}
        self.expiring: dict[bytes, tuple[float, Any]] = {}  # when, and the timer
        self.call_later = call_later
        self.clock = clock

    def execute(self, arguments: list[bytes]) -> bytes | None:
        """The reply to a command, whose name is the first of its arguments; `None` to a farewell."""
        entry = COMMANDS.get(arguments[0].upper())
        try:
            if entry is None:
                raise CommandError(f"ERR unknown command {text(arguments[0][:128])}")
            method, least, most = entry
            if not least <= len(arguments) <= most:
                raise CommandError(f"ERR wrong number of arguments for {text(arguments[0].lower())} command")
            return method(self, *arguments[1:])
        except CommandError as refused:
            return f"-{refused}\r\n".encode()

    # The server

    def do_PING(self, message: bytes | None = None) -> bytes:
        return b"+PONG\r\n" if message is None else bulk(message)

    def do_ECHO(self, message: bytes) -> bytes:
        return bulk(message)

    def do_QUIT(self) -> None:
        """No reply but a farewell."""

    def do_SELECT(self, index: bytes) -> bytes:
        if integer(index) != 0:
            raise CommandError("ERR DB index is out of range")
        return OK

    def do_COMMAND(self, *_: bytes) -> bytes:
        return array([])  # redis-cli then has no hints to give, and goes on

    def do_CONFIG(self, verb: bytes, *names: bytes) -> bytes:
        if verb.upper() != b"GET":
            raise CommandError("ERR only CONFIG GET is known here")
        settings = {b"save": b"", b"appendonly": b"no"}  # what redis-benchmark asks for
        known = [name for name in names if name in settings]
        return array(bulk(each) for name in known for each in (name, settings[name]))

    def do_INFO(self, *_: bytes) -> bytes:
        keyspace = f"db0:keys={len(self.values)},expires={len(self.expiring)}"
        return bulk(f"# Server\r\nredis_version:5.0.0\r\n\r\n# Keyspace\r\n{keyspace}\r\n".encode())

    def do_DBSIZE(self) -> bytes:
        return number(len(self.values))

    def do_FLUSHALL(self, *_: bytes) -> bytes:
        for key in list(self.expiring):
            self.persist(key)
        self.values.clear()
        return OK

    # Values

    def do_GET(self, key: bytes) -> bytes:
        return bulk(self.values.get(key))

    def do_SET(self, key: bytes, value: bytes, *options: bytes) -> bytes:
        if options:
            return self.set_with_options(key, value, options)
        self.values[key] = value
        if key in self.expiring:
            self.persist(key)
        return OK

    def set_with_options(self, key: bytes, value: bytes, options: Iterable[bytes]) -> bytes:
        words = iter(options)
        seconds = existing = None
        for word in words:
            match word.upper():
                case b"NX" | b"XX" as when if existing is None:
                    existing = when == b"XX"
                case b"EX" | b"PX" as unit if seconds is None and (amount := next(words, b"")):
                    seconds = integer(amount) / (1 if unit == b"EX" else 1000)
                    if seconds <= 0:
                        raise CommandError("ERR invalid expire time in 'set' command")
                case _:
                    raise CommandError("ERR syntax error")
        if existing is not None and existing != (key in self.values):
            return NIL
        self.values[key] = value
        self.persist(key)
        if seconds is not None:
            self.expire(key, seconds)
        return OK

    def do_MSET(self, *pairs: bytes) -> bytes:
        if not pairs or len(pairs) % 2:
            raise CommandError("ERR wrong number of arguments for 'mset' command")
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            self.do_SET(key, value)
        return OK

    def do_MGET(self, key: bytes, *keys: bytes) -> bytes:
        found = [self.values.get(each) for each in (key, *keys)]
        if sum(len(value) for value in found if value) > LARGEST_REPLY:
            raise CommandError("ERR too much for one reply; ask for fewer keys")
        return array(bulk(value) for value in found)

    def do_INCR(self, key: bytes) -> bytes:
        return self.add(key, 1)

    def do_DECR(self, key: bytes) -> bytes:
        return self.add(key, -1)

    def do_INCRBY(self, key: bytes, amount: bytes) -> bytes:
        return self.add(key, integer(amount))

    def do_DECRBY(self, key: bytes, amount: bytes) -> bytes:
        return self.add(key, -integer(amount))

    def add(self, key: bytes, amount: int) -> bytes:
        value = integer(self.values.get(key, b"0")) + amount
        if not -(2**63) <= value < 2**63:
            raise CommandError("ERR increment or decrement would overflow")
        self.values[key] = b"%d" % value
        return number(value)

    def do_APPEND(self, key: bytes, more: bytes) -> bytes:
        value = self.values.get(key, b"") + more
        if len(value) > LARGEST:
            raise CommandError("ERR string exceeds maximum allowed size")
        self.values[key] = value
        return number(len(value))

    def do_STRLEN(self, key: bytes) -> bytes:
        return number(len(self.values.get(key, b"")))

    # Keys

    def do_EXISTS(self, key: bytes, *keys: bytes) -> bytes:
        return number(sum(each in self.values for each in (key, *keys)))

    def do_DEL(self, key: bytes, *keys: bytes) -> bytes:
        return number(sum(self.delete(each) for each in (key, *keys)))

    def do_KEYS(self, pattern: bytes) -> bytes:
        if len(pattern) > 256:  # it is compiled, and kept for a while
            raise CommandError("ERR pattern too long")
        return array(map(bulk, fnmatch.filter(self.values, pattern)))

    def do_SCAN(self, cursor: bytes, *options: bytes) -> bytes:
        """All keys at once, and the cursor that says so."""
        integer(cursor)
        given = dict(zip(map(bytes.upper, options[::2]), options[1::2], strict=False))
        return array([bulk(b"0"), self.do_KEYS(given.get(b"MATCH", b"*"))])

    def do_EXPIRE(self, key: bytes, seconds: bytes) -> bytes:
        wanted = integer(seconds)
        if key not in self.values:
            return number(0)
        self.expire(key, wanted)
        return number(1)

    def do_TTL(self, key: bytes) -> bytes:
        if key not in self.expiring:
            return number(-1 if key in self.values else -2)
        return number(round(self.expiring[key][0] - self.clock()))

    def delete(self, key: bytes) -> bool:
        self.persist(key)
        return self.values.pop(key, None) is not None

    def expire(self, key: bytes, seconds: float) -> None:
        self.persist(key)
        if seconds > 0:
            timer = self.call_later(seconds, self.delete, key)
            self.expiring[key] = self.clock() + seconds, timer
        else:
            self.delete(key)

    def persist(self, key: bytes) -> None:
        if key in self.expiring:
            self.expiring.pop(key)[1].cancel()


def arity(method: Callable[..., bytes | None]) -> tuple[Callable[..., bytes | None], int, float]:
    """A command's method, and how many arguments it takes at least and at most: its name, for *self*, too."""
    parameters = signature(method).parameters.values()
    needed = sum(each.default is each.empty and each.kind is not each.VAR_POSITIONAL for each in parameters)
    endless = any(each.kind is each.VAR_POSITIONAL for each in parameters)
    return method, needed, math.inf if endless else len(parameters)


COMMANDS = {
    name.removeprefix("do_").encode(): arity(method)
    for name, method in vars(Store).items()
    if name.startswith("do_")
}
