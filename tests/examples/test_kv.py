"""The key-value store: its protocol in any pieces, what it refuses, its limits. Its commands are in
test_kv_commands.py, the real clients in test_kv_clients.py."""

import logging
import random
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.examples.shop import NIL, OK, Shop, bulk, command
from tests.properties import examples
from tests.support.machines import cut, every_split, places

LARGEST = 1 << 20


#: Arguments that look like the protocol itself.
NASTY = st.sampled_from(
    [b"", b"\r\n", b"*1\r\n", b"$4\r\nPING\r\n", b"\r", b"\n", b"$", b"a\r\nb"]
) | st.binary(max_size=20)
KEYS = st.sampled_from([b"", b"k", b"\r\n", b"$1\r\n"])
#: A command and what it does to a dictionary of all values.
REQUESTS = st.one_of(
    st.tuples(st.just(b"ECHO"), NASTY),
    st.tuples(st.just(b"SET"), KEYS, NASTY),
    st.tuples(st.just(b"GET"), KEYS),
    st.lists(KEYS, min_size=1, max_size=5).map(lambda keys: (b"MGET", *keys)),
    st.just((b"inline",)),
)  # fmt: skip


def expected(request: "tuple[bytes, ...]", values: "dict[bytes, bytes]") -> "tuple[bytes, bytes]":
    """What to send for *request*, and the reply to it."""

    def value(key: bytes) -> bytes:
        return bulk(values[key]) if key in values else NIL

    match request:
        case (b"inline",):
            return b"ECHO  inline\n", bulk(b"inline")
        case (b"ECHO", message):
            return command(*request), bulk(message)
        case (b"SET", key, new):
            values[key] = new
            return command(*request), OK
        case (b"GET", key):
            return command(*request), value(key)
        case (_, *keys):
            return command(*request), b"*%d\r\n" % len(keys) + b"".join(map(value, keys))
    raise AssertionError(request)


class TestPieces:
    STREAM = (
        command(b"SET", b"k\r\n", b"*1\r\n$4\r\nPING\r\n")
        + b"PING\r\n\r\n*0\r\n"
        + command(b"GET", b"k\r\n")
        + command(b"ECHO", b"")
        + command(b"SET", b"\r\n\r\n", b"v")  # without its end it has as many lines as a whole one
        + b"get none\n"
    )
    REPLIES = OK + b"+PONG\r\n" + bulk(b"*1\r\n$4\r\nPING\r\n") + bulk(b"") + OK + NIL

    def test_every_split_gives_the_same_replies(self, shop: Shop) -> None:
        for pieces in every_split(self.STREAM):
            assert shop.ask(shop.connect(), *pieces) == self.REPLIES
        assert all(row.state.name == "IDLE" and not row.begun for row in shop.reactor.requests)

    @examples(60)
    @given(requests=st.lists(REQUESTS, max_size=12), where=places)
    def test_any_commands_in_any_pieces(
        self, kv: ModuleType, requests: "list[tuple[bytes, ...]]", where: "list[int]"
    ) -> None:
        values: dict[bytes, bytes] = {}
        pairs = [expected(request, values) for request in requests]
        with Shop(kv) as shop:
            peer = shop.connect()
            pieces = cut(b"".join(sent for sent, _ in pairs), where)
            assert shop.ask(peer, *pieces) == b"".join(reply for _, reply in pairs)
            assert shop.store.values == values

    def test_a_thousand_at_once_are_answered_in_order(self, shop: Shop) -> None:
        batch = b"".join(command(b"INCR", b"n") for _ in range(1000))
        assert shop.ask(shop.connect(), batch) == b"".join(b":%d\r\n" % n for n in range(1, 1001))

    def test_large_values_come_back_whole(self, shop: Shop) -> None:
        value = random.Random(5639).randbytes(700_000)
        peer = shop.connect()
        stored = OK + b":700000\r\n"
        assert shop.ask(peer, command(b"SET", b"k", value) + command(b"STRLEN", b"k")) == stored
        assert shop.ask(peer, command(b"GET", b"k") * 2) == bulk(value) * 2


MALFORMED = {
    b"*x\r\n": "invalid multibulk length",
    b"*-1\r\n": "invalid multibulk length",
    b"*1 \r\n": "invalid multibulk length",
    b"*1_0\r\n": "invalid multibulk length",
    b"*1\rx": "invalid multibulk length",
    b"*1000000000\r\n": "invalid multibulk length",
    b"*174763\r\n": "invalid multibulk length",
    b"*1\r\nPING\r\n": "expected '$', got 'P'",
    b"*2\r\n$4\r\nECHO\r\n:1\r\n": "expected '$', got ':'",
    b"*1\r\n\x1b": "expected '$', got '\\x1b'",
    b"*1\r\n$-1\r\n": "invalid bulk length",
    b"*1\r\n$\r\n": "invalid bulk length",
    b"*1\r\n$99999999\r\n": "invalid bulk length",
    b"*1\r\n$1048577\r\n": "invalid bulk length",
    b"*1\r\n$4\r\nPINGPONG": "bulk string without its end",
    b"*1\r\n$4\r\nPING\n\n": "bulk string without its end",
}


class TestRefused:
    @pytest.mark.parametrize("data", MALFORMED, ids=repr)
    def test_nonsense_is_answered_and_closed_however_it_is_split(self, shop: Shop, data: bytes) -> None:
        reply = b"+PONG\r\n" + f"-ERR Protocol error: {MALFORMED[data]}\r\n".encode()
        for pieces in every_split(b"PING\r\n" + data):
            peer = shop.connect()
            assert shop.ask(peer, *pieces) == reply
            assert peer.eof

    def test_what_came_before_it_is_answered(self, shop: Shop) -> None:
        """More commands than one delivery takes, more replies than the kernel takes at once, and an end."""
        shop.ask(shop.connect(), command(b"SET", b"k", b"x" * 200_000))
        peer = shop.connect()
        assert peer.send(b"PING\r\n" * 700 + b"GET k\r\n" * 9 + b"*x\r\n")
        peer.end()
        replies = b"+PONG\r\n" * 700 + bulk(b"x" * 200_000) * 9
        assert shop.hear(peer) == replies + b"-ERR Protocol error: invalid multibulk length\r\n"
        assert peer.eof

    def test_it_is_one_line_in_the_log(self, shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.WARNING, "reactor"):
            shop.ask(shop.connect(), b"*x\r\n")
        assert [record.getMessage() for record in caplog.records] == [
            "closing ('peer', 1): FramingError: invalid multibulk length"
        ]

    def test_an_error_in_a_command_is_not_the_clients(
        self, shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(shop.store, "values", None)
        peer = shop.connect()
        assert shop.ask(peer, command(b"GET", b"k")) == b""
        assert peer.eof and "AttributeError" in caplog.text

    def test_an_inline_command_without_end(self, shop: Shop) -> None:
        peer = shop.connect()
        assert shop.ask(peer, b"PING " + b"x" * 65530) == b""
        assert shop.ask(peer, b"x").startswith(b"-ERR Protocol error: Line over its limit of 65536 bytes")
        assert peer.eof

    def test_what_is_too_long_is_refused_before_it_has_come(self, shop: Shop) -> None:
        peer = shop.connect()
        begun = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$104857"
        assert shop.ask(shop.connect(), begun + b"6\r\n") == b""  # as long as allowed, so far
        assert shop.ask(peer, begun + b"7\r\n") == b"-ERR Protocol error: invalid bulk length\r\n"
        assert shop.ask(shop.connect(), b"*174762\r\n") == b""

    @pytest.mark.parametrize("over", [0, 1])
    def test_a_command_may_be_as_long_as_the_limit_and_no_longer(self, shop: Shop, over: int) -> None:
        around = len(command(b"SET", b"k", b"x" * 1_000_000)) - 1_000_000
        peer = shop.connect()
        answer = shop.ask(peer, command(b"SET", b"k", b"x" * (LARGEST - around + over)))
        if over:
            assert answer.startswith(b"-ERR Protocol error: max_request_size of 1048576 bytes passed")
            assert peer.eof and not shop.store.values
        else:
            assert answer == OK

    def test_many_arguments_are_one_request_to_the_limit(self, shop: Shop) -> None:
        peer = shop.connect()
        answer = shop.ask(peer, b"*170000\r\n", *[b"$4\r\n1234\r\n" * 10_000] * 11)
        assert answer.startswith(b"-ERR Protocol error: max_request_size of 1048576 bytes passed")

    def test_an_appended_value_does_not_grow_without_end(self, shop: Shop) -> None:
        peer = shop.connect()
        half = command(b"APPEND", b"k", b"x" * (LARGEST // 2))
        assert shop.ask(peer, half, half) == b":524288\r\n:1048576\r\n"
        assert (
            shop.ask(peer, command(b"APPEND", b"k", b"x")) == b"-ERR string exceeds maximum allowed size\r\n"
        )

    def test_a_short_command_cannot_ask_for_an_endless_reply(self, shop: Shop) -> None:
        peer = shop.connect()
        assert shop.ask(peer, command(b"SET", b"k", b"x" * 1_000_000)) == OK
        answer = shop.ask(peer, command(b"MGET", *[b"k"] * 1000))
        assert answer == b"-ERR too much for one reply; ask for fewer keys\r\n"

    def test_pieces_are_not_looked_at_over_and_over(
        self, kv: ModuleType, shop: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        looks = 0

        def look(buffer: bytes, start: int) -> object:
            nonlocal looks
            looks += 1
            return length_at(buffer, start)

        length_at = kv.length_at
        monkeypatch.setattr(kv, "length_at", look)
        many = 5000
        data = command(b"DEL", *[b"k"] * many)
        pieces = [data[i : i + 50] for i in range(0, len(data), 50)]
        assert shop.ask(shop.connect(), *pieces) == b":0\r\n"
        assert looks < 3 * (many + len(pieces))

    def test_who_is_silent_for_an_hour_may_stay(self, shop: Shop) -> None:
        peer = shop.connect()
        for _ in range(60):
            shop.advance(60)
        assert shop.ask(peer, b"PING\r\n") == b"+PONG\r\n"

    def test_half_a_command_is_not_waited_for_endlessly(self, shop: Shop) -> None:
        peer = shop.connect()
        shop.ask(peer, b"*2\r\n$3\r\nGET\r\n")
        shop.advance(9)
        assert not peer.read() and not peer.eof
        shop.advance(2)
        peer.read()
        assert peer.eof
