"""Rows about connections that reach each other."""

from __future__ import annotations

from tests.abuse.lines import reply
from tests.abuse.peer import SMALL
from tests.abuse.scene import Scene, row
from tests.abuse.target import PATIENCE


@row("A listener in a chat room that never reads while others talk", growth=12, kind="room", logged=True)
def deaf_listener(scene: Scene) -> None:
    deaf = scene.peers(3, receive_buffer=SMALL)
    talker, listener = scene.peers(2)
    for member in (*deaf, listener):
        assert member.ask(b"!join\n") == b"!JOIN\n"
    said = b"!say " + b"blah " * 10_000 + b"\n"
    for _ in range(1000):
        assert talker.ask(said) == reply(said)
        assert listener.line() == said
    for member in deaf:
        assert member.ended_within(PATIENCE) is not None, "it keeps one who never reads"


@row("Listeners in a chat room who are gone while others talk", kind="room")
def gone_listeners(scene: Scene) -> None:
    talker, listener = scene.peers(2)
    assert listener.ask(b"!join\n") == b"!JOIN\n"
    for number in range(100):
        gone = scene.peer()
        assert gone.ask(b"!join\n") == b"!JOIN\n"
        said = b"!say %d\n" % number
        talker.send(said)
        if number % 2:
            gone.reset()
        else:
            gone.socket.close()
        assert talker.line() == reply(said)
        assert listener.line() == said
