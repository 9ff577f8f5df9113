"""irc-bot: an async_chat that connects by itself and polls a new map, keyed by its socket, every turn."""

import logging
import socket
import threading
from contextlib import closing

import pytest
from irc_bot.simple_irc_bot import SimpleIRCBot

from tests.conformance.programs.driving import PATIENCE


class Bot(SimpleIRCBot):
    def on_privmsg(self, msg):
        self.send_privmsg(msg.from_nick, msg.arguments[1].upper())


class Peer:
    """The server's end of one connection."""

    def __init__(self, listener):
        self.socket, _ = listener.accept()
        self.socket.settimeout(PATIENCE)
        self.lines = self.socket.makefile("rb")

    def close(self):
        self.lines.close()
        self.socket.close()

    def say(self, line):
        self.socket.sendall(line.encode() + b"\r\n")

    def hear(self):
        return self.lines.readline().decode().rstrip("\r\n")


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as made:
        made.settimeout(PATIENCE)
        yield made


@pytest.fixture
def bot(listener):
    port = listener.getsockname()[1]
    made = Bot({"servers": ["127.0.0.1"], "port": port, "channels": ["#room"], "nickname": "bot"})
    thread = threading.Thread(target=made.start, daemon=True)
    thread.start()
    yield made
    made.running = False
    thread.join(PATIENCE)
    assert not thread.is_alive()
    made.socket.close()


def greet(peer):
    assert [peer.hear(), peer.hear()] == ["USER bot 8 * :bot", "NICK bot"]
    peer.say(":irc.example 001 bot :Welcome")


def test_a_conversation(listener, bot):
    with closing(Peer(listener)) as peer:
        greet(peer)
        for n in range(3):
            peer.say(f"PING :{n}")
            assert peer.hear() == f"PONG :{n}"
        peer.say(":someone!name@host PRIVMSG bot :hello")
        assert peer.hear() == "PRIVMSG someone :HELLO"
        peer.say("PING :a\r\nPING :b")
        assert [peer.hear(), peer.hear()] == ["PONG :a", "PONG :b"]


def test_it_comes_again_when_the_server_has_gone(listener, bot, caplog):
    caplog.set_level(logging.CRITICAL)
    with closing(Peer(listener)) as peer:
        greet(peer)
    with closing(Peer(listener)) as peer:
        greet(peer)
        peer.say("PING :again")
        assert peer.hear() == "PONG :again"
    assert bot.connection_attempts == 2
