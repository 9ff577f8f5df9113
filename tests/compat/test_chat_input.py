"""async_chat's reading: every kind of terminator, every split of the input, and hooks that meddle."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.compat.implementations import Library, all_same, same
from tests.compat.stage import Error, stage

FEW = settings(max_examples=100, deadline=None, database=None, derandomize=True)

DATA = st.lists(st.sampled_from([b"a", b"b", b"\r", b"\n", b"ab", b"\r\n", b"aab", b"x" * 9]), max_size=12)
TERMINATORS = st.sampled_from(
    [
        b"\r\n",
        b"\n",
        b"aab",
        b"abab",
        b"\r\n.\r\n",
        b"",
        None,
        0,
        1,
        2,
        3,
        7,
        True,
        "\r\n",
        "ab",
        bytearray(b"ab"),
    ]
)
#: What a hook does, apart from telling.
MEDDLING = st.sampled_from(
    ["", "", "", "", "next", "discard", "close", "raise", "OSError", "buffer", "empty", "read", "not"]
)


def conversation(
    library: Library,
    chunks: list[bytes],
    terminators: list[Any],
    meddling: list[str],
    encoding: str | None,
) -> list[Any]:
    """Each chunk is one `recv`; terminators and meddling are used up, one for each call of a hook."""
    with stage(library) as play:
        left, next_terminators, doing = list(chunks), list(terminators), list(meddling)

        class Chat(play.asynchat.async_chat):  # type: ignore[misc, name-defined]
            depth = 0

            def recv(self, size: int) -> bytes:
                play.note("recv", size)
                return left.pop(0) if left else b""

            def collect_incoming_data(self, data: Any) -> None:
                play.note("collect", data)
                self.meddle()

            def found_terminator(self) -> None:
                play.note("found", self.get_terminator())
                self.meddle(True)

            def meddle(self, found: bool = False) -> None:
                what = doing.pop(0) if doing else ""
                play.note(what)
                if (found or what == "next") and next_terminators:
                    self.set_terminator(next_terminators.pop(0))
                elif what == "not":
                    self.terminator = None
                if what == "discard":
                    self.discard_buffers()
                elif what == "close":
                    self.close()
                elif what == "raise":
                    raise Error
                elif what == "OSError":
                    raise OSError(5, "an error, they say")
                elif what == "buffer":
                    self.ac_in_buffer = b"b\nab" + self.ac_in_buffer[2:]
                elif what == "empty":
                    self.ac_in_buffer = b""
                elif what == "read" and self.depth < 2:
                    self.depth += 1
                    self.handle_read()
                    self.depth -= 1

        chat = Chat(None, play.map)
        if encoding:
            chat.use_encoding, chat.encoding = 1, encoding
        play.returns("set", chat.set_terminator, next_terminators.pop(0))
        while left:
            play.returns("handle_read", chat.handle_read)
            play.note(chat.ac_in_buffer, chat.terminator, len(chat.ac_in_buffer))
        return play.lines()


@FEW
@given(DATA, st.lists(TERMINATORS, min_size=1, max_size=6))
def test_terminators(chunks: list[bytes], terminators: list[Any]) -> None:
    same(conversation, chunks, terminators, [], "ascii")


@FEW
@given(DATA, st.lists(TERMINATORS, min_size=1, max_size=6), st.lists(MEDDLING, max_size=8))
def test_hooks_that_meddle(chunks: list[bytes], terminators: list[Any], meddling: list[str]) -> None:
    same(conversation, chunks, terminators, meddling, None)


@pytest.mark.parametrize("terminator", [b"\r\n.\r\n", b"aaab", b"abab", b"\n", 4, 1], ids=str)
def test_every_split(terminator: Any) -> None:
    """All the ways to cut a stream of nine bytes that is full of beginnings."""
    stream = {b"\r\n.\r\n": b"a\r\n.\r\n.\r\n", b"aaab": b"aaaabaaab", b"abab": b"abaababab"}.get(
        terminator, b"ab\nc\n\nd\n"
    )
    for cuts in range(0, 1 << len(stream) - 1, 3):
        chunks, last = [], 0
        for at in range(1, len(stream)):
            if cuts >> at - 1 & 1:
                chunks.append(stream[last:at])
                last = at
        same(conversation, [*chunks, stream[last:]], [terminator] * 9, [], None)


def consumed_and_begun(library: Library) -> list[Any]:
    return conversation(library, [b"xa", b"y", b"z"], [1, b"xay"], [], None)


def test_what_is_consumed_is_no_beginning_of_a_terminator() -> None:
    same(consumed_and_begun)


KINDS: dict[str, Any] = {
    "bytes": bytes,
    "bytearray": bytearray,
    "memoryview": memoryview,
    "str": lambda data: data.decode(),
}


def of_kinds(library: Library, received: str, there: str, terminator: Any) -> list[Any]:
    """A `recv` of its own that gives something of that kind, on top of what is there."""
    with stage(library) as play:

        class Chat(play.asynchat.async_chat):  # type: ignore[misc, name-defined]
            def recv(self, size: int) -> Any:
                return KINDS[received](b"one\ntwo")

            def collect_incoming_data(self, data: Any) -> None:
                play.note("collect", data)

            def found_terminator(self) -> None:
                play.note("found", self.ac_in_buffer)

        chat = Chat(None, play.map)
        chat.set_terminator(terminator)
        chat.ac_in_buffer = KINDS[there](b"")
        for _ in range(2):
            play.returns("read", chat.handle_read)
            play.note(chat.ac_in_buffer)
        return play.lines()


@pytest.mark.parametrize("there", KINDS)
def test_what_recv_gives(there: str) -> None:
    all_same(of_kinds, [(received, there, term) for received in KINDS for term in (b"\n", "\n", 2, None)])


def setting(library: Library, terminator: Any, encoding: Any) -> list[Any]:
    with stage(library) as play:
        chat = play.asynchat.async_chat()
        play.note(hasattr(chat, "terminator"))
        play.returns("get", chat.get_terminator)
        if encoding is not None:
            chat.use_encoding, chat.encoding = True, encoding
        play.returns("set", chat.set_terminator, terminator)
        play.returns("get", chat.get_terminator)
        return play.lines()


@pytest.mark.parametrize("encoding", [None, "ascii", "utf-8", "nonsense"])
@pytest.mark.parametrize("terminator", ["\r\n", "é", "", b"\n", 0, 5, -1, None, 2.5, [b"a"], False], ids=repr)
def test_set_terminator(terminator: Any, encoding: Any) -> None:
    same(setting, terminator, encoding)


def without_init(library: Library, how: str) -> list[Any]:
    """Programs that set the attributes themselves, or have them on the class."""
    with stage(library) as play:
        chunks = [b"one\ntwo", b"\nthree"]

        class Chat(play.asynchat.async_chat):  # type: ignore[misc, name-defined]
            terminator = b"\n"
            if how == "on the class":
                ac_in_buffer = b""

            def __init__(self) -> None:
                if how == "set":
                    self.ac_in_buffer = b""
                    self.producer_fifo = []
                    self.ac_out_buffer = b""
                if how != "init":
                    play.asyncore.dispatcher.__init__(self)
                else:
                    super().__init__()

            def recv(self, size: int) -> bytes:
                return chunks.pop(0)

            def collect_incoming_data(self, data: bytes) -> None:
                play.note("collect", data, self.ac_in_buffer)

            def found_terminator(self) -> None:
                play.note("found", self.ac_in_buffer)

        chat = Chat()
        play.returns("read", chat.handle_read)
        play.returns("read", chat.handle_read)
        play.returns("buffer", lambda: chat.ac_in_buffer)
        play.returns("discard", chat.discard_buffers)
        return play.lines()


@pytest.mark.parametrize("how", ["init", "set", "on the class"])
def test_a_constructor_that_is_not_called(how: str) -> None:
    same(without_init, how)


def unfinished(library: Library) -> list[Any]:
    """The base class by itself, whose two hooks are to be defined."""
    with stage(library) as play:
        chat = play.asynchat.async_chat()
        play.returns("collect", chat.collect_incoming_data, b"")
        play.returns("found", chat.found_terminator)
        chat._collect_incoming_data(b"one")
        chat._collect_incoming_data(b"two")
        play.note(chat.incoming, chat._get_data(), chat.incoming)
        play.note(vars(chat)["incoming"], chat.ac_in_buffer)
        return play.lines()


def test_the_base_class_alone() -> None:
    same(unfinished)


@given(st.binary(max_size=6), st.binary(min_size=1, max_size=4))
@FEW
def test_find_prefix_at_end(haystack: bytes, needle: bytes) -> None:
    for stack, wanted in (
        (haystack, needle),
        (needle * 2 + haystack, needle),
        (haystack + needle[:2], needle),
    ):
        same(lambda library, *args: [library.asynchat.find_prefix_at_end(*args)], stack, wanted)
        same(lambda library, *args: [library.asynchat.find_prefix_at_end(*args)], stack.hex(), wanted.hex())
