"""The chat room: members that hear each other, and one who doesn't listen."""

import re
import shutil
import socket
import subprocess
from collections.abc import Iterator

import pytest

from tests.examples.processes import PATIENCE, Example, Program


@pytest.fixture
def room() -> Iterator[Example]:
    with Example("chat") as server:
        yield server


class Member:
    """Somebody in the room, who has said a name."""

    def __init__(self, peer: socket.socket, name: str) -> None:
        self.peer = peer
        self._lines = peer.makefile("rb")
        assert peer.recv(11, socket.MSG_WAITALL) == b"Your name? "
        self.say(name)

    def __enter__(self) -> "Member":
        return self

    def __exit__(self, *exc: object) -> None:
        self._lines.close()
        self.peer.close()

    def say(self, text: str) -> None:
        self.peer.sendall(text.encode() + b"\n")

    def hears(self) -> str:
        return self._lines.readline().decode().rstrip("\n")


def test_members_hear_each_other_come_talk_and_go(room: Example) -> None:
    with Member(room.connect(), "ada") as ada:
        assert ada.hears() == "* in the room: ada"
        with Member(room.connect(), "bob") as bob:
            assert bob.hears() == "* in the room: ada, bob"
            assert ada.hears() == "* bob is here"
            bob.say("hello")
            ada.say("hello yourself")
            assert bob.hears() == "ada: hello yourself"  # and not what he said himself
            assert ada.hears() == "bob: hello"
        assert ada.hears() == "* bob has left"
    console = [room.line() for _ in range(6)]
    assert console[:2] == ["* ada is here", "* bob is here"]
    assert sorted(console[2:4]) == ["ada: hello yourself", "bob: hello"]
    assert console[4:] == ["* bob has left", "* ada has left"]


def test_name_has_to_be_free_and_one_at_all(room: Example) -> None:
    again = b"Taken, or no name at all. Another? "
    with Member(room.connect(), "ada") as ada, Member(room.connect(), "ada") as bob:
        assert bob.peer.recv(len(again), socket.MSG_WAITALL) == again
        bob.say("  ")
        assert bob.peer.recv(len(again), socket.MSG_WAITALL) == again
        bob.say("bob")
        assert bob.hears() == "* in the room: ada, bob"
        assert [ada.hears(), ada.hears()] == ["* in the room: ada", "* bob is here"]


def test_who_leaves_without_a_name_was_never_there(room: Example) -> None:
    with Member(room.connect(), "ada") as ada:
        assert ada.hears() == "* in the room: ada"
        with room.connect() as stranger:
            assert stranger.recv(11, socket.MSG_WAITALL) == b"Your name? "
        ada.say("alone")
        with Member(room.connect(), "bob"):
            assert ada.hears() == "* bob is here"


def test_control_characters_reach_nobody(room: Example) -> None:
    with Member(room.connect(), "ada") as ada, Member(room.connect(), "b\x1b[2J") as bob:
        bob.say("\x07\x9b2J \u202e\u00fc")
        assert ada.hears().startswith("* in the room: ")
        assert ada.hears() == "* b\\x1b[2J is here"
        assert ada.hears() == "b\\x1b[2J: \\x07\\x9b2J \\u202eü"


def test_one_who_does_not_read_is_dropped_and_the_others_hear_everything(room: Example) -> None:
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.settimeout(PATIENCE)
    deaf.connect(("localhost", room.port))
    with Member(deaf, "deaf"), Member(room.connect(), "ada") as ada, Member(room.connect(), "bob") as bob:
        assert ada.hears().startswith("* in the room: ")
        assert ada.hears() == "* bob is here"
        assert bob.hears().startswith("* in the room: ")
        said = heard = 0
        gone = False
        # Far more than what the kernel takes for somebody who does not read.
        while said < 40_000:
            for _ in range(50):
                bob.say(f"{said:06d}{'.' * 800}")
                said += 1
            while heard < said:
                line = ada.hears()
                if line == "* deaf has left":
                    gone = True
                else:
                    assert line == f"bob: {heard:06d}{'.' * 800}"
                    heard += 1
            if gone:
                break
        assert gone
        assert re.search(
            r"closing \('127\.0\.0\.1', \d+\): send_buffer_limit: 65536 bytes passed", room.error_line()
        )
        assert bob.hears() == "* deaf has left"


def test_nc_and_curl_talk_to_each_other(room: Example) -> None:
    nc, curl = shutil.which("nc"), shutil.which("curl")
    if nc is None or curl is None:
        pytest.skip("no nc or no curl here")
    with Program(nc, "localhost", str(room.port), stdin=subprocess.PIPE) as first:
        first.type("nc\n")
        assert first.line() == "Your name? * in the room: nc"
        with Program(curl, "-sN", f"telnet://localhost:{room.port}", stdin=subprocess.PIPE) as second:
            second.type("curl\n")
            assert second.line() == "Your name? * in the room: nc, curl"
            assert first.line() == "* curl is here"
            first.type("hello, curl\n")
            second.type("hello, nc\n")
            assert first.line() == "curl: hello, nc"
            assert second.line() == "nc: hello, curl"
