"""The commands of the key-value store, and its keys that expire."""

import pytest

from tests.examples.shop import NIL, OK, Shop, bulk, command

SYNTAX = b"-ERR syntax error\r\n"
OVERFLOW = b"-ERR increment or decrement would overflow\r\n"
NO_NUMBER = b"-ERR value is not an integer or out of range\r\n"


class TestCommands:
    @pytest.mark.parametrize(
        "conversation",
        [
            [("PING", b"+PONG\r\n"), ("ping hello", bulk(b"hello")), ("ECHO hello", bulk(b"hello"))],
            [("GET k", NIL), ("SET k v", OK), ("get k", bulk(b"v")), ("Set k w", OK), ("GET k", bulk(b"w"))],
            [("SET k v XX", NIL), ("SET k v nx", OK), ("SET k w NX", NIL), ("SET k x xx", OK)],
            [("SET k v NX EX 5", OK), ("TTL k", b":5\r\n"), ("SET k v XX PX 7000", OK), ("TTL k", b":7\r\n")],
            [("SET k v EX 0", b"-ERR invalid expire time in 'set' command\r\n"), ("GET k", NIL)],
            [("SET k v EX x", NO_NUMBER), ("SET k v EX", SYNTAX), ("GET k", NIL)],
            [("SET k v NX XX", SYNTAX), ("SET k v EX 1 PX 1", SYNTAX), ("SET k v SOON", SYNTAX)],
            [("SET a 1", OK), ("SET b 2", OK), ("EXISTS a b a c", b":3\r\n"), ("DEL a b a c", b":2\r\n")],
            [("MSET a 1 b 2", OK), ("MGET a c b", b"*3\r\n" + bulk(b"1") + NIL + bulk(b"2"))],
            [("MSET a 1 b", b"-ERR wrong number of arguments for 'mset' command\r\n"), ("GET a", NIL)],
            [("INCR n", b":1\r\n"), ("INCRBY n 41", b":42\r\n")],
            [("SET n 42", OK), ("DECR n", b":41\r\n"), ("STRLEN n", b":2\r\n")],
            [("DECRBY n 5", b":-5\r\n"), ("INCRBY n -5", b":-10\r\n"), ("INCRBY n 1_0", NO_NUMBER)],
            [(f"SET n {2**63 - 1}", OK), ("INCR n", OVERFLOW), ("DECR n", b":%d\r\n" % (2**63 - 2))],
            [(f"SET n {2**63}", OK), ("INCR n", NO_NUMBER)],
            [(f"SET n {1 - 2**63}", OK), ("DECR n", b":%d\r\n" % -(2**63)), ("DECR n", OVERFLOW)],
            [("SET n 007", OK), ("INCR n", NO_NUMBER), ("GET n", bulk(b"007"))],
            [("APPEND k ab", b":2\r\n"), ("APPEND k c", b":3\r\n"), ("GET k", bulk(b"abc"))],
            [("SET k abc", OK), ("STRLEN k", b":3\r\n"), ("STRLEN x", b":0\r\n")],
            [("MSET a 1 b 2", OK), ("DBSIZE", b":2\r\n"), ("FLUSHALL", OK), ("DBSIZE", b":0\r\n")],
            [("KEYS *", b"*0\r\n"), ("MSET aa 1 ab 2", OK), ("KEYS a[b-z]", b"*1\r\n" + bulk(b"ab"))],
            [("SET k v", OK), ("SCAN 0 COUNT 9 match k*", b"*2\r\n" + bulk(b"0") + b"*1\r\n" + bulk(b"k"))],
            [("SCAN x", NO_NUMBER)],
            [("KEYS " + 256 * "*", b"*0\r\n"), ("KEYS " + 257 * "*", b"-ERR pattern too long\r\n")],
            [("TTL k", b":-2\r\n"), ("EXPIRE k 9", b":0\r\n"), ("SET k v", OK), ("TTL k", b":-1\r\n")],
            [("SELECT 0", OK), ("SELECT 1", b"-ERR DB index is out of range\r\n")],
            [("COMMAND DOCS", b"*0\r\n"), ("COMMAND", b"*0\r\n")],
            [("CONFIG GET save", b"*2\r\n" + bulk(b"save") + bulk(b"")), ("CONFIG GET x", b"*0\r\n")],
            [("CONFIG SET save x", b"-ERR only CONFIG GET is known here\r\n")],
            [("HELLO 3", b"-ERR unknown command 'HELLO'\r\n")],
            [("GET", b"-ERR wrong number of arguments for 'get' command\r\n"), ("GET a", NIL)],
            [("PING a b", b"-ERR wrong number of arguments for 'ping' command\r\n")],
        ],
        ids=lambda conversation: conversation[0][0][:20],
    )  # fmt: skip
    def test_is_answered_as_redis_does(self, shop: Shop, conversation: "list[tuple[str, bytes]]") -> None:
        peer = shop.connect()
        said = [(line, shop.ask(peer, command(*line.encode().split()))) for line, _ in conversation]
        assert said == conversation
        assert not peer.eof

    def test_info_counts(self, shop: Shop) -> None:
        shop.says("MSET a 1 b 2")
        shop.says("EXPIRE a 5")
        assert b"\r\ndb0:keys=2,expires=1\r\n" in shop.says("INFO")

    def test_name_of_an_unknown_command_cannot_forge_a_reply(self, shop: Shop) -> None:
        answer = shop.ask(shop.connect(), command(b"X\r\n+OK\r\n'\xff"))
        assert answer == b'-ERR unknown command "X\\r\\n+OK\\r\\n\'\\xff"\r\n'

    def test_quit_is_answered_and_ends_it(self, shop: Shop) -> None:
        peer = shop.connect()
        assert (
            shop.ask(peer, command(b"SET", b"a", b"1") + command(b"QUIT") + command(b"SET", b"a", b"2"))
            == OK + OK
        )
        assert peer.eof
        assert shop.says("GET a") == bulk(b"1")


class TestExpiring:
    def test_keys_go_when_their_time_has_come(self, shop: Shop) -> None:
        shop.says("SET a 1 EX 10")
        shop.says("SET b 1 PX 500")
        shop.says("SET c 1")
        shop.says("EXPIRE c 20")
        shop.advance(0.4)
        assert shop.says("DBSIZE") == b":3\r\n"
        shop.advance(0.1)
        assert shop.says("GET b") == NIL
        shop.advance(9.4)
        assert (shop.says("TTL a"), shop.says("TTL c")) == (b":0\r\n", b":10\r\n")
        shop.advance(0.1)
        assert shop.says("MGET a c") == b"*2\r\n" + NIL + bulk(b"1")
        shop.advance(10)
        assert not shop.store.values and not shop.store.expiring

    @pytest.mark.parametrize("line", ["SET a 2", "SET a 2 XX", "SET a 2 EX 20", "EXPIRE a 20", "MSET a 2"])
    def test_another_time_or_value_takes_the_first_time_back(self, shop: Shop, line: str) -> None:
        shop.says("SET a 1 EX 10")
        shop.says(line)
        shop.advance(11)
        assert shop.says("EXISTS a") == b":1\r\n"

    @pytest.mark.parametrize("line", ["INCR a", "APPEND a 2"])
    def test_a_changed_value_keeps_its_time(self, shop: Shop, line: str) -> None:
        shop.says("SET a 1 EX 10")
        shop.says(line)
        shop.advance(11)
        assert shop.says("EXISTS a") == b":0\r\n"

    @pytest.mark.parametrize("line", ["DEL a", "FLUSHALL"])
    def test_a_key_that_was_deleted_and_comes_again_has_no_time(self, shop: Shop, line: str) -> None:
        shop.says("SET a 1 EX 10")
        shop.says(line)
        shop.says("APPEND a 1")
        shop.advance(11)
        assert shop.says("GET a") == bulk(b"1")

    @pytest.mark.parametrize("seconds", ["0", "-1"])
    def test_a_time_in_the_past_deletes(self, shop: Shop, seconds: str) -> None:
        shop.says("SET a 1")
        assert shop.says(f"EXPIRE a {seconds}") == b":1\r\n"
        assert shop.says("EXISTS a") == b":0\r\n"

    def test_the_far_future_never_comes(self, shop: Shop) -> None:
        shop.says("SET a 1")
        assert shop.says(f"EXPIRE a {2**63 - 1}") == b":1\r\n"
        shop.advance(1e9)
        assert shop.says("EXISTS a") == b":1\r\n"
