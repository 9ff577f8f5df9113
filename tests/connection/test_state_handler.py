"""Proves what a `StateRequestHandler` is promised: its requests, its row's states, hold, offload, EOF."""

import socket
import threading

import pytest

from reactor import (
    EVENT_READ,
    Connection,
    Exactly,
    Limits,
    Line,
    Netstring,
    RequestState,
    StateRequestHandler,
    ToEOF,
)
from tests.support.pairs import House


@pytest.fixture
def house():
    with House() as house:
        yield house


class Echo(StateRequestHandler):
    """Answers each line with itself."""

    def start(self):
        self.expect(Line(), self.line)

    def line(self, line):
        self.write(line)


# The design's examples


class Upper(StateRequestHandler):
    def start(self):
        self.expect(Line(limit=65536), self.shout)

    def shout(self, line):
        self.write(line.upper())


class Sized(StateRequestHandler):
    """A length on a line, then that many bytes."""

    def start(self):
        self.expect(Line(limit=20), self.length)

    def length(self, line):
        self.expect(Exactly(int(line)), self.body)  # still the same request

    def body(self, data):
        self.write(data[::-1])  # complete: the next request begins with a Line again


def test_upper_answers_line_after_line(house):
    _, peer = house.connect(Upper)
    assert house.ask(peer, b"hello\n") == b"HELLO\n"
    assert house.ask(peer, b"and\nagain\nhalf") == b"AND\nAGAIN\n"
    assert house.ask(peer, b" a line\n") == b"HALF A LINE\n"


@pytest.mark.parametrize("piece", [1, 2, 3, 5, 100])
def test_sized_answers_the_same_however_the_bytes_are_split(house, piece):
    handler, peer = house.connect(Sized)
    data = b"5\nhello3\nabc0\n1\nx"
    replies = b"".join(house.ask(peer, data[at : at + piece]) for at in range(0, len(data), piece))
    assert replies == b"olleh" + b"cba" + b"x"
    assert handler.completed == 4


def test_the_same_handler_class_runs_without_a_reactor_server():
    """On a server that does not say how, the constructor serves the whole connection, blocking."""
    with House() as house:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            theirs.sendall(b"5\nhello3\nabc")
            theirs.shutdown(socket.SHUT_WR)
            Sized(ours, "peer", None)
            ours.close()
            assert theirs.recv(100) == b"ollehcba"
            assert theirs.recv(100) == b""
        assert len(house.reactor.requests) == 0


# Opening


def test_nothing_of_the_users_runs_before_the_constructor_has_returned(house):
    heard = []

    class Handler(Echo):
        def __init__(self, *args):
            super().__init__(*args)
            self.greeting = b"set after super().__init__()\n"
            heard.append("constructed")

        def setup(self):
            heard.append("setup")
            super().setup()

        def start(self):
            heard.append("start")
            self.write(self.greeting)
            super().start()

    handler, peer = house.join(Handler)
    assert heard == ["constructed"] and handler.state is RequestState.HANDSHAKE
    house.turn()
    assert heard == ["constructed", "setup", "start"]
    assert peer.read() == b"set after super().__init__()\n"
    assert house.ask(peer, b"on\n") == b"on\n"
    assert heard == ["constructed", "setup", "start"]


def test_request_client_address_and_server_are_there_as_in_socketserver(house):
    handler, _ = house.connect(Echo)
    assert handler.request is handler.socket
    assert handler.client_address == handler.peer == ("peer", 1)
    assert handler.server is house.servers[0]


def test_a_write_before_the_opening_is_sent_after_it(house):
    handler, peer = house.join(Echo)
    handler.write(b"early\n")
    house.settle()
    assert peer.read() == b"early\n"


# When a request is complete


def test_a_request_is_complete_when_a_state_expects_nothing_more(house):
    handler, peer = house.connect(Sized)
    house.ask(peer, b"3\nab")
    assert handler.completed == 0
    house.ask(peer, b"c")
    assert handler.completed == 1
    house.ask(peer, b"0\n2\nab1")
    assert handler.completed == 3


def test_the_first_expectation_made_in_a_state_is_what_requests_begin_with_if_start_made_none(house):
    class Handler(StateRequestHandler):
        def start(self):
            self.begin_with(Line(), self.line)

        def line(self, line):
            self.write(b"<" + line.strip() + b">")

    _, peer = house.connect(Handler)
    assert house.ask(peer, b"a\nb\n") == b"<a><b>"


def test_begin_with_changes_what_the_following_requests_begin_with(house):
    class Login(StateRequestHandler):
        def start(self):
            self.expect(Line(), self.name)

        def name(self, line):
            self.write(b"hello " + line)
            self.begin_with(Netstring(), self.command)

        def command(self, text):
            self.write(b"[" + text + b"]")

    handler, peer = house.connect(Login)
    assert house.ask(peer, b"guido\n3:abc,0:,") == b"hello guido\n[abc][]"
    assert house.ask(peer, b"1:x,") == b"[x]"
    assert handler.completed == 4


def test_an_empty_message_is_a_message(house):
    class Handler(StateRequestHandler):
        def start(self):
            self.expect(Line(keepends=False), self.line)

        def line(self, line):
            self.write(repr(line).encode())

    _, peer = house.connect(Handler)
    assert house.ask(peer, b"\n\r\n") == b"b''b''"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((b"\n", print), "framing such as Line"),
        ((Line, print), "framing such as Line"),
        ((Line(), None), "state to enter"),
        ((Line(), "line"), "state to enter"),
    ],
)
@pytest.mark.parametrize("call", ["expect", "begin_with"])
def test_wrong_expectations_fail_where_they_are_made(house, call, arguments, words):
    handler, _ = house.connect(Echo)
    with pytest.raises(TypeError, match=words):
        getattr(handler, call)(*arguments)


# What the row says


class Stages(StateRequestHandler):
    """``write`` owes a lot, ``hold`` holds, anything else is a line and four bytes."""

    def start(self):
        self.expect(Line(), self.head)

    def head(self, line):
        if line == b"hold\n":
            self.hold()
        elif line == b"write\n":
            self.write(bytes(1000))
        else:
            self.expect(Exactly(4), self.write)


def test_the_row_goes_through_its_states_and_says_what_it_waits_for(house):
    handler, peer = house.join(Stages, spied=True)
    (row,) = house.reactor.requests
    assert row is handler
    assert row.state is RequestState.HANDSHAKE
    house.turn()
    assert (row.state, row.waiting_for) == (RequestState.IDLE, str(Line()))
    house.ask(peer, b"ha")
    assert (row.state, row.waiting_for) == (RequestState.READING, str(Line()))
    house.ask(peer, b"lf\n1")
    assert (row.state, row.waiting_for) == (RequestState.READING, str(Exactly(4)))
    house.ask(peer, b"234")
    assert row.state is RequestState.IDLE
    house.ask(peer, b"hold\n")
    assert (row.state, row.waiting_for) == (RequestState.HANDLING, "its handler")
    handler.release()
    house.settle()
    assert row.state is RequestState.IDLE
    handler.socket.room = 400
    peer.send(b"write\n")
    house.turn()
    assert (row.state, row.waiting_for) == (RequestState.WRITING, "the peer to take 600 bytes")
    assert row.owed == 600
    handler.socket.room = None
    house.settle()
    assert (row.state, row.owed) == (RequestState.IDLE, 0)
    handler.close()
    assert (row.state, row.waiting_for) == (RequestState.CLOSING, "the peer to close")
    peer.close()
    house.settle()
    assert row.state is RequestState.CLOSED
    assert list(house.reactor.requests) == []


def test_the_row_counts_bytes_requests_and_time(house):
    handler, peer = house.connect(Sized)
    house.clock.advance(3)
    house.ask(peer, b"3\nabc2\na")
    assert (handler.received, handler.written, handler.sent, handler.completed) == (8, 3, 3, 1)
    house.advance(2)
    assert handler.age == 2
    assert handler.deadline == house.clock() - 2 + house.limits.request_timeout
    assert handler.peer == ("peer", 1)


def test_the_table_answers_questions_while_it_runs(house):
    house.connect(Stages)
    _, half = house.connect(Stages)
    house.ask(half, b"half")
    held, peer = house.connect(Stages)
    house.ask(peer, b"hold\n")
    table = house.reactor.requests
    assert len(table) == 3 and held in table
    assert [row.state for row in table.partial()] == [RequestState.READING, RequestState.HANDLING]
    assert table.by_state(RequestState.HANDLING) == [held]
    assert table.counters.accepted == 3
    assert [row.state for row in table.snapshot(house.clock())] == ["idle", "reading", "handling"]


# hold and release


class Held(StateRequestHandler):
    """Holds each line until somebody releases it; `lines` has what was delivered."""

    def __init__(self, *args):
        self.lines = []
        super().__init__(*args)

    def start(self):
        self.expect(Line(), self.line)

    def line(self, line):
        self.lines.append(line)
        self.hold()


def test_a_held_request_gets_no_message_until_it_is_released(house):
    handler, peer = house.connect(Held)
    house.ask(peer, b"a\nb\nc\n")
    assert handler.lines == [b"a\n"] and handler.held
    assert handler.completed == 0
    handler.write(b"answer to a")
    handler.release()
    assert handler.lines == [b"a\n"]  # not inside release()
    house.settle()
    assert handler.lines == [b"a\n", b"b\n"] and handler.completed == 1
    assert peer.read() == b"answer to a"
    house.ask(peer, b"d\n")
    assert handler.lines == [b"a\n", b"b\n"]


def test_a_request_released_in_its_own_state_is_complete_at_once(house):
    class Handler(Echo):
        def line(self, line):
            self.hold()
            self.release()
            self.write(line)

    handler, peer = house.connect(Handler)
    assert house.ask(peer, b"a\nb\n") == b"a\nb\n"
    assert handler.completed == 2 and handler.state is RequestState.IDLE


def test_a_held_request_may_go_on_with_another_message(house):
    class Handler(Held):
        def line(self, line):
            super().line(line)
            self.expect(Exactly(2), self.rest)

        def rest(self, data):
            self.write(b"rest " + data)

    handler, peer = house.connect(Handler)
    house.ask(peer, b"a\nxyb\n")
    handler.release()
    house.settle()
    assert peer.read() == b"rest xy"
    assert handler.completed == 1 and handler.lines == [b"a\n", b"b\n"]


def test_one_connection_may_release_another(house):
    first, first_peer = house.connect(Held)
    house.ask(first_peer, b"wait\n")

    class Releaser(Echo):
        def line(self, line):
            first.write(line)
            first.release()

    _, second_peer = house.connect(Releaser)
    house.ask(second_peer, b"news\n")
    assert first_peer.read() == b"news\n"
    assert first.state is RequestState.IDLE and first.completed == 1


def test_release_without_hold_is_a_runtime_error(house):
    handler, _ = house.connect(Echo)
    with pytest.raises(RuntimeError, match=r"without hold\(\)"):
        handler.release()


def test_release_of_a_connection_that_has_ended_does_nothing(house):
    handler, peer = house.connect(Held)
    house.ask(peer, b"a\nb\n")
    handler.abort()
    house.settle()
    for _ in range(2):
        handler.release()
        house.settle()
    assert handler.lines == [b"a\n"]


def test_a_held_row_is_not_idle_and_has_no_deadline(house):
    handler, peer = house.connect(Held)
    house.ask(peer, b"a\n")
    assert handler.deadline is None
    for _ in range(10):
        house.advance(house.limits.idle_timeout)
    assert handler.state is RequestState.HANDLING
    handler.release()
    house.settle()
    assert handler.state is RequestState.IDLE


# offload


class Offloader(StateRequestHandler):
    """Has each line looked after in the pool."""

    function = staticmethod(bytes.upper)

    def start(self):
        self.expect(Line(), self.line)

    def line(self, line):
        self.offload(self.function, line, then=self.reply)

    def reply(self, result):
        self.write(result)


def test_an_offloaded_result_enters_the_state_and_completes_the_request(house):
    handler, peer = house.connect(Offloader)
    house.ask(peer, b"a\nb\n")
    assert handler.state is RequestState.HANDLING
    assert len(house.executor.jobs) == 1  # one at a time; the second line waits
    house.executor.run_next()
    assert peer.read() == b""  # results come back in the loop
    house.settle()
    assert peer.read() == b"A\n"
    assert len(house.executor.jobs) == 1
    house.executor.run_next()
    house.settle()
    assert peer.read() == b"B\n"
    assert (handler.completed, handler.state) == (2, RequestState.IDLE)


def test_an_offloaded_call_runs_in_the_reactors_pool_and_its_result_in_the_loop():
    """The same with the pool that a reactor makes for itself."""
    threads = []

    class Handler(Offloader):
        def function(self, line):
            threads.append(threading.current_thread())
            return line.upper()

        def reply(self, result):
            threads.append(threading.current_thread())
            self.write(result)
            self.close()

    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"a\n")
        theirs.shutdown(socket.SHUT_WR)
        Handler(ours, "peer", None)
        assert theirs.recv(100) == b"A\n"
    worker, loop = threads
    assert loop is threading.main_thread() and worker is not loop
    assert not worker.is_alive()


def test_without_a_state_to_enter_the_result_is_dropped_and_the_request_goes_on(house):
    class Handler(Offloader):
        def line(self, line):
            self.offload(line.upper)
            self.expect(Exactly(1), self.write)

    _, peer = house.connect(Handler)
    house.ask(peer, b"a\nx")
    house.executor.run_next()
    house.settle()
    assert peer.read() == b"x"


def test_what_offloaded_work_raises_is_this_handlers_error_and_costs_it_alone(house):
    class Handler(Offloader):
        def function(self, line):
            raise ZeroDivisionError

    other, other_peer = house.connect(Echo)
    handler, peer = house.connect(Handler)
    house.ask(peer, b"a\n")
    house.executor.run_next()
    house.settle()
    assert [type(exc) for exc in house.take_errors()] == [ZeroDivisionError]
    assert peer.read() == b"" and peer.eof
    peer.close()
    house.settle()
    assert handler.state is RequestState.CLOSED
    assert house.ask(other_peer, b"on\n") == b"on\n" and other.state is RequestState.IDLE


def test_what_the_state_after_offloaded_work_raises_is_this_handlers_error(house):
    class Handler(Offloader):
        def reply(self, result):
            self.write(b"partial answer")
            raise ZeroDivisionError

    handler, peer = house.connect(Handler)
    house.ask(peer, b"a\n")
    house.executor.run_next()
    house.settle()
    assert [type(exc) for exc in house.take_errors()] == [ZeroDivisionError]
    assert handler.state in (RequestState.CLOSING, RequestState.CLOSED)
    assert peer.read() == b"partial answer" and peer.eof


def test_a_second_offload_while_one_is_under_way_is_a_runtime_error(house):
    handler, peer = house.connect(Offloader)
    house.ask(peer, b"a\n")
    with pytest.raises(RuntimeError, match="under way"):
        handler.offload(len, b"x")
    assert len(house.executor.jobs) == 1


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda handler: handler.offload(5), "something to call"),
        (lambda handler: handler.offload(len, b"", then=5), "state to enter"),
    ],
)
def test_wrong_offloads_fail_where_they_are_made_and_hold_nothing(house, call, words):
    handler, peer = house.connect(Echo)
    with pytest.raises(TypeError, match=words):
        call(handler)
    assert not handler.held
    assert house.ask(peer, b"on\n") == b"on\n"


def test_work_not_started_is_cancelled_when_the_peer_is_gone(house):
    handler, peer = house.connect(Offloader, tcp=True)
    peer.send(b"a\n")
    house.wait()
    ((future, _, _),) = house.executor.jobs
    peer.crash()
    house.wait()
    house.settle()
    assert future.cancelled()
    assert handler.state is RequestState.CLOSED


def test_the_result_of_running_work_is_dropped_when_the_peer_is_gone(house):
    entered = []

    class Handler(Offloader):
        def reply(self, result):
            entered.append(result)

    handler, peer = house.connect(Handler, tcp=True)
    peer.send(b"a\n")
    house.wait()
    finish = house.executor.start_next()
    peer.crash()
    house.wait()
    house.settle()
    assert handler.state is RequestState.CLOSED
    finish()
    house.settle()
    assert entered == []


# The end of input


def test_a_half_close_is_answered(house):
    _, peer = house.connect(Echo)
    peer.send(b"a\nb\n")
    peer.end()
    house.settle()
    assert peer.read() == b"a\nb\n" and peer.eof
    assert house.reactor.requests.counters.failed == 0


def test_a_half_close_with_more_owed_than_the_kernel_takes_is_answered_whole(house):
    class Handler(Echo):
        def line(self, line):
            self.write(line * 1000)

    handler, peer = house.connect(Handler, spied=True)
    handler.socket.room = 100
    peer.send(b"a\nb\nhalf")
    peer.end()
    house.turn(5)
    assert handler.state is RequestState.WRITING
    assert not house.watched(handler) & EVENT_READ
    handler.socket.room = None
    house.settle()
    assert peer.read() == b"a\n" * 1000 + b"b\n" * 1000 and peer.eof
    assert handler.state is RequestState.CLOSED
    assert house.reactor.requests.counters.failed == 1


def test_a_half_close_while_held_is_answered_and_is_not_watched_for_reading(house):
    handler, peer = house.connect(Held)
    peer.send(b"a\n")
    peer.end()
    house.settle()
    assert handler.state is RequestState.HANDLING
    assert house.watched(handler) == 0
    handler.write(b"answer")
    handler.release()
    house.settle()
    assert peer.read() == b"answer" and peer.eof
    assert handler.state is RequestState.CLOSED and handler.completed == 1


def test_a_half_close_during_offloaded_work_is_answered(house):
    handler, peer = house.connect(Offloader)
    peer.send(b"a\nb\n")
    peer.end()
    house.settle()
    for _ in range(2):
        house.executor.run_next()
        house.settle()
    assert peer.read() == b"A\nB\n" and peer.eof
    assert handler.state is RequestState.CLOSED and not house.executor.jobs


@pytest.mark.parametrize("rest", [b"half a line", b"5\nhell"])
def test_the_end_of_input_in_the_middle_of_a_request_drops_it_and_counts_the_row_as_failed(house, rest):
    handler, peer = house.connect(Sized)
    peer.send(b"1\nx" + rest)
    peer.end()
    house.settle()
    assert peer.read() == b"x" and peer.eof
    assert handler.state is RequestState.CLOSED
    assert (handler.completed, house.reactor.requests.counters.failed) == (1, 1)
    assert any("in the middle of a request" in line for line in house.lines(level=10))
    assert house.lines() == []


def test_to_eof_gives_everything_at_the_end_of_input(house):
    class Handler(StateRequestHandler):
        def start(self):
            self.expect(ToEOF(), self.everything)

        def everything(self, data):
            self.write(b"%d" % len(data))

    _, peer = house.connect(Handler)
    assert house.ask(peer, bytes(1000)) == b""
    peer.send(bytes(234))
    peer.end()
    house.settle()
    assert peer.read() == b"1234" and peer.eof
    assert house.reactor.requests.counters.failed == 0


def test_a_partial_line_gives_the_unterminated_rest_and_no_empty_line_after(house):
    class Handler(StateRequestHandler):
        def start(self):
            self.expect(Line(partial=True), self.line)

        def line(self, line):
            self.write(b"<" + line + b">")

    for data, answer in ((b"a\nrest", b"<a\n><rest>"), (b"a\n", b"<a\n>"), (b"", b"")):
        _, peer = house.connect(Handler)
        peer.send(data)
        peer.end()
        house.settle()
        assert peer.read() == answer and peer.eof
    assert house.reactor.requests.counters.failed == 0


def test_after_the_end_of_input_the_rest_may_still_be_held_and_answered(house):
    class Handler(Held):
        def start(self):
            self.expect(ToEOF(), self.line)

    handler, peer = house.connect(Handler)
    peer.send(b"everything")
    peer.end()
    house.settle()
    assert handler.lines == [b"everything"] and handler.state is RequestState.HANDLING
    handler.write(b"answer")
    handler.release()
    house.settle()
    assert peer.read() == b"answer" and peer.eof


def test_handle_eof_is_called_once_when_all_that_came_was_delivered_and_may_hold(house):
    class Handler(Held):
        def handle_eof(self):
            self.lines.append("eof")
            self.hold()

    handler, peer = house.connect(Handler)
    peer.send(b"a\nb\n")
    peer.end()
    house.settle()
    assert handler.lines == [b"a\n"]
    handler.release()
    house.settle()
    assert handler.lines == [b"a\n", b"b\n"]
    handler.release()
    house.settle()
    assert handler.lines == [b"a\n", b"b\n", "eof"]
    assert handler.state is RequestState.HANDLING and not peer.eof
    handler.write(b"last words")
    handler.release()
    house.settle()
    assert peer.read() == b"last words" and peer.eof
    assert handler.lines.count("eof") == 1


# Names, classes, arguments


@pytest.mark.parametrize(
    "name", ["received", "state", "peer", "limits", "input", "completed", "reactor", "since"]
)
@pytest.mark.parametrize("as_method", [True, False])
def test_a_handler_class_that_takes_a_name_of_the_connections_is_refused_when_it_is_made(name, as_method):
    value = (lambda self: None) if as_method else 0
    with pytest.raises(TypeError, match=rf"Mine\.{name}: .*choose another"):
        type("Mine", (Echo,), {name: value})


def test_a_state_handler_without_start_is_refused_when_the_server_is_made(house):
    class NoStart(StateRequestHandler):
        pass

    with pytest.raises(TypeError, match=r"define start"):
        house.join(NoStart)


def test_one_object_is_handler_connection_and_row(house):
    handler, _ = house.connect(Echo)
    assert isinstance(handler, Connection)
    assert list(house.reactor.requests) == [handler]


@pytest.mark.parametrize("wanted", [True, False])
def test_nagles_algorithm_is_off_unless_the_class_wants_it(house, wanted):
    handler, _ = house.connect(type("Handler", (Echo,), {"disable_nagle_algorithm": wanted}), tcp=True)
    assert bool(handler.request.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)) == wanted


@pytest.mark.parametrize("data", [bytearray(b"x"), memoryview(b"x"), b"x"])
def test_write_takes_any_bytes_and_keeps_no_hold_of_them(house, data):
    handler, peer = house.connect(Echo, spied=True)
    handler.socket.room = 0
    handler.write(data)
    if isinstance(data, bytearray):
        data[:] = b"changed"
    handler.socket.room = None
    house.settle()
    assert peer.read() == b"x"


@pytest.mark.parametrize(
    ("wrong", "words"), [("text", "encode"), (5, "bytes, not int"), (None, "NoneType"), ([1], "list")]
)
def test_write_of_anything_but_bytes_is_a_type_error(house, wrong, words):
    handler, peer = house.connect(Echo)
    with pytest.raises(TypeError, match=words):
        handler.write(wrong)
    assert (handler.written, peer.read()) == (0, b"")


def test_a_write_from_a_foreign_thread_is_a_runtime_error_that_says_what_to_call(house):
    handler, peer = house.connect(Echo)
    errors = []

    def write():
        try:
            handler.write(b"x")
        except RuntimeError as exc:
            errors.append(str(exc))
        house.reactor.call_soon_threadsafe(handler.write, b"right")
        house.reactor.stop()

    thread = threading.Thread(target=write)
    house.reactor.call_soon(thread.start)
    house.reactor.run()
    thread.join()
    house.settle()
    (text,) = errors
    assert "call_soon_threadsafe(handler.write, data)" in text
    assert peer.read() == b"right"


@pytest.mark.parametrize(
    ("call", "before"),
    [
        ("hold", None),
        ("release", "hold"),
        ("pause_reading", None),
        ("resume_reading", "pause_reading"),
        ("write_eof", None),
        ("close", None),
        ("abort", None),
    ],
)
def test_debug_mode_refuses_a_foreign_thread_and_nothing_has_changed(call, before, house):
    handler, peer = house.connect(Echo)
    if before:
        getattr(handler, before)()
    house.reactor.debug = house.reactor._picky = True
    errors = []

    def attempt():
        blocked = handler.blocked
        try:
            getattr(handler, call)()
        except RuntimeError as exc:
            errors.append((str(exc), handler.blocked == blocked))
        house.reactor.stop()

    thread = threading.Thread(target=attempt, name="stranger")
    house.reactor.call_soon(thread.start)
    house.reactor.run()
    thread.join()
    ((text, unchanged),) = errors
    assert unchanged and text.startswith(call) and "stranger" in text
    if before:
        getattr(handler, call)()
    assert house.ask(peer, b"a line\n") == b"a line\n"


def test_a_handler_with_limits_of_its_server_carries_them(house):
    limits = Limits(idle_timeout=7)
    handler, _ = house.connect(Echo, limits=limits)
    assert handler.limits is limits
    assert handler.deadline == handler.since + 7
