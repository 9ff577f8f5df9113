"""Proves that every connection ends once: what is owed is sent, one closing call comes, nothing after it."""

import contextlib
import socket

import pytest

from reactor import (
    AsyncStreamRequestHandler,
    Connection,
    Exactly,
    Limits,
    Line,
    RequestState,
    StateRequestHandler,
)
from tests.support.pairs import House


@pytest.fixture
def house():
    with House() as house:
        yield house


class Noting(StateRequestHandler):
    """Keeps a list of what it is called for. Lines are commands."""

    def __init__(self, *args):
        self.heard = []
        super().__init__(*args)

    def setup(self):
        super().setup()
        self.heard.append("setup")

    def start(self):
        self.expect(Line(), self.line)

    def line(self, line):
        self.heard.append(line)
        getattr(self, line.decode().strip())()

    def finish(self):
        self.heard.append("finish")

    def echo(self):
        self.write(b"reply\n")

    def fail(self):
        raise ZeroDivisionError

    def two(self):
        self.expect(Exactly(100), self.write)

    def big(self):
        self.write(bytes(200_000))


# One closing call, in every way of ending


def ends(name):
    def mark(way):
        WAYS[name] = way
        return way

    return mark


WAYS = {}


@ends("the peer closes")
def _(house, handler, peer):
    peer.close()


@ends("the peer closes its output")
def _(house, handler, peer):
    peer.end()


@ends("the peer closes its output after a request")
def _(house, handler, peer):
    house.ask(peer, b"echo\n")
    peer.end()


@ends("the peer ends in the middle of a request")
def _(house, handler, peer):
    peer.send(b"half")
    peer.end()


@ends("the peer resets while idle")
def _(house, handler, peer):
    peer.crash()
    house.wait()


@ends("the peer resets in the middle of a request")
def _(house, handler, peer):
    peer.send(b"half")
    house.wait()
    peer.crash()
    house.wait()


@ends("the peer is gone when it is written to")
def _(house, handler, peer):
    peer.crash()
    handler.write(b"x")
    handler.write(b"x")


@ends("close() from elsewhere")
def _(house, handler, peer):
    handler.close()


@ends("close() twice, then abort() twice")
def _(house, handler, peer):
    handler.close()
    handler.close()
    handler.abort()
    handler.abort()


@ends("close() after a reply, and the peer closes")
def _(house, handler, peer):
    house.ask(peer, b"echo\n")
    handler.close()
    house.settle()
    peer.close()


@ends("close() after a reply, and lingering takes too long")
def _(house, handler, peer):
    house.ask(peer, b"echo\n")
    handler.close()
    house.advance(house.limits.linger_timeout)


@ends("close() in a state")
def _(house, handler, peer):
    peer.send(b"close\n")


@ends("abort() in a state")
def _(house, handler, peer):
    peer.send(b"abort\n")


@ends("abort() with much owed")
def _(house, handler, peer):
    handler.socket.room = 10
    handler.write(bytes(100))
    handler.abort()


@ends("close() in the constructor's turn, before the opening")
def _(house, handler, peer):
    pass


@ends("an error in a state")
def _(house, handler, peer):
    peer.send(b"fail\n")


@ends("an error while held, and a release after")
def _(house, handler, peer):
    house.ask(peer, b"hold\n")
    with contextlib.suppress(ZeroDivisionError):
        handler.fail()
    handler.abort()
    handler.release()


@ends("a message over its limit")
def _(house, handler, peer):
    peer.send(bytes(65537))
    house.settle()


@ends("the idle timeout")
def _(house, handler, peer):
    house.advance(house.limits.idle_timeout)


@ends("the request timeout")
def _(house, handler, peer):
    house.ask(peer, b"half")
    house.advance(house.limits.request_timeout)


@ends("the send timeout")
def _(house, handler, peer):
    handler.socket.room = 10
    peer.send(b"big\n")
    house.turn()
    house.advance(house.limits.send_timeout)


@ends("the send timeout while closing")
def _(house, handler, peer):
    handler.socket.room = 10
    peer.send(b"big\n")
    house.turn()
    handler.close()
    house.advance(house.limits.send_timeout)


@ends("pushed over its send buffer by others")
def _(house, handler, peer):
    handler.socket.room = 10
    handler.write(bytes(house.limits.send_buffer_limit + 11))


@ends("offloaded work that fails")
def _(house, handler, peer):
    handler.offload(handler.fail)
    house.executor.run_next()


@ends("draining while idle")
def _(house, handler, peer):
    house.reactor.drain()


@ends("the server closes")
def _(house, handler, peer):
    house.servers[0].server_close()


@ends("the reactor closes")
def _(house, handler, peer):
    house.reactor.close()


@pytest.mark.parametrize("way", WAYS)
def test_every_opened_connection_gets_exactly_one_closing_call(house, way):
    tcp = "reset" in way or "is gone" in way
    handler, peer = house.connect(Noting, tcp=tcp, spied=True)
    if "constructor" in way:
        handler.abort()
        house.settle()
        handler, peer = house.join(Noting)
        handler.close()
    WAYS[way](house, handler, peer)
    if way != "the reactor closes":
        house.turn(3)
        peer.close()  # where the handler lingers
        house.turn(3)
    opened = "setup" in handler.heard
    assert opened == ("constructor" not in way)
    assert handler.heard.count("finish") == opened
    assert handler.heard[-1:] == (["finish"] if opened else [])  # and nothing after it
    assert [server.ended.count(handler.request) for server in house.servers][-1] == 1
    assert handler.state is RequestState.CLOSED
    assert handler not in house.reactor.requests
    assert handler.request.fileno() == -1
    if way != "the reactor closes":
        assert house.selector.get_map().keys().__len__() == 1  # the waker alone
    expected = [ZeroDivisionError] if way in ("an error in a state", "offloaded work that fails") else []
    assert [type(exc) for exc in house.take_errors()] == expected


COROUTINE_ENDS = {
    "handle returns": (b"return\n", []),
    "handle raises": (b"raise\n", [ZeroDivisionError]),
    "handle closes and returns": (b"close\n", []),
    "handle aborts and goes on": (b"abort\n", []),
    "the peer ends its input": (None, []),
}


@pytest.mark.parametrize("way", COROUTINE_ENDS)
def test_every_coroutine_handler_gets_exactly_one_closing_call_too(house, way):
    heard = []

    class Handler(AsyncStreamRequestHandler):
        async def handle(self):
            try:
                async for line in self.rfile:
                    if line == b"return\n":
                        return
                    if line == b"raise\n":
                        raise ZeroDivisionError
                    getattr(self, line.decode().strip())()
            finally:
                heard.append("finally")

        def finish(self):
            heard.append("finish")

    data, errors = COROUTINE_ENDS[way]
    handler, peer = house.connect(Handler)
    peer.end() if data is None else peer.send(data)
    house.settle()
    peer.close()
    house.settle()
    assert heard == ["finally", "finish"]
    assert [type(exc) for exc in house.take_errors()] == errors
    assert handler.state is RequestState.CLOSED


def test_a_coroutine_that_is_closed_with_an_error_in_its_finally_is_heard_once(house):
    class Handler(AsyncStreamRequestHandler):
        async def handle(self):
            try:
                await self.rfile.readline()
            finally:
                raise ZeroDivisionError

    handler, _ = house.connect(Handler)
    handler.abort()
    house.settle()
    assert [type(exc) for exc in house.take_errors()] == [ZeroDivisionError]
    assert handler.request.fileno() == -1 and handler not in house.reactor.requests


def test_a_coroutine_that_awaits_while_it_is_closed_is_reported_and_does_not_stay(house):
    class Handler(AsyncStreamRequestHandler):
        async def handle(self):
            try:
                await self.rfile.readline()
            finally:
                await self.sleep(1)

    handler, _ = house.connect(Handler)
    handler.abort()
    house.settle()
    assert [type(exc) for exc in house.take_errors()] == [RuntimeError]
    assert handler.request.fileno() == -1 and handler not in house.reactor.requests
    house.advance(2)


def test_the_closing_call_comes_at_the_end_of_the_turn_and_never_inside_a_write(house):
    order = []

    class Handler(Noting):
        def finish(self):
            order.append("finish")

    victim, victim_peer = house.connect(Handler, tcp=True)

    class Writer(Noting):
        def line(self, line):
            victim.write(b"x")
            victim.write(b"x")
            victim.abort()
            order.append("written")

    _, peer = house.connect(Writer)
    victim_peer.crash()
    house.reactor.modify(victim, 2)  # so that only the write finds out
    peer.send(b"go\n")
    house.reactor.call_soon(order.append, "later in the turn")
    house.turn()
    assert order == ["written", "later in the turn", "finish"]


# Errors


@pytest.mark.parametrize("where", ["setup", "start", "line", "finish"])
def test_an_error_in_any_upcall_is_heard_once_and_costs_only_its_connection(house, where):
    handler_class = type("Handler", (Noting,), {where: lambda self, *args: self.fail()})
    _, other = house.connect(Noting)
    handler, peer = house.join(handler_class)
    peer.send(b"line\n")
    peer.end()
    house.settle()
    errors = house.take_errors()
    if where == "finish":
        errors.pop(0)  # the line's own: there is no such command
    assert [type(exc) for exc in errors] == [ZeroDivisionError]
    assert handler.heard.count("finish") == (where in ("start", "line"))
    assert handler.request.fileno() == -1 and handler not in house.reactor.requests
    assert house.servers[1].ended == [handler.request]
    assert house.ask(other, b"echo\n") == b"reply\n"
    assert house.reactor.requests.counters.failed == 1 + (where == "finish")


def test_what_was_written_before_an_error_is_sent(house):
    class Handler(Noting):
        def start(self):
            self.write(b"greeting\n")
            super().start()

        def line(self, line):
            self.write(b"before the error\n")
            raise ZeroDivisionError

    _, peer = house.connect(Handler)
    assert house.ask(peer, b"line\n") == b"greeting\nbefore the error\n"
    assert peer.eof
    assert len(house.take_errors()) == 1


def test_a_server_whose_handle_error_fails_loses_that_connection_only(house):
    _, other = house.connect(Noting)
    handler, peer = house.connect(Noting)

    def fails(request, client_address):
        raise KeyError("worse")

    house.servers[1].handle_error = fails
    peer.send(b"fail\n")
    peer.end()
    house.settle()
    assert handler.request.fileno() == -1
    assert any("KeyError" in line for line in house.take_error_lines())
    assert house.ask(other, b"echo\n") == b"reply\n"


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_interrupts_in_a_state_pass_through_and_the_connection_goes_on(house, interrupt):
    class Handler(Noting):
        def stop(self):
            raise interrupt

    _, peer = house.connect(Handler)
    peer.send(b"stop\necho\n")
    with pytest.raises(interrupt):
        house.turn()
    assert house.ask(peer, b"echo\n") == b"reply\nreply\n"
    assert house.take_errors() == []


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_in_a_coroutine_ends_its_connection_for_the_coroutine_is_over(house, interrupt):
    finished = []

    class Handler(AsyncStreamRequestHandler):
        async def handle(self):
            self.wfile.write(await self.rfile.readline())
            raise interrupt

        def finish(self):
            finished.append(self)

    handler, peer = house.connect(Handler)
    peer.send(b"line\nmore\n")
    with pytest.raises(interrupt):
        house.turn()
    house.settle()
    assert peer.read() == b"line\n" and peer.eof
    assert house.take_errors() == []
    peer.close()
    house.settle()
    assert finished == [handler]


@pytest.mark.parametrize("end", ["close", "abort"])
@pytest.mark.parametrize("where", ["setup", "start"])
def test_a_connection_may_end_while_it_opens(house, where, end):
    class Handler(Noting):
        def setup(self):
            super().setup()
            if where == "setup":
                getattr(self, end)()

        def start(self):
            self.write(b"sorry\n")
            super().start()
            if where == "start":
                getattr(self, end)()

    handler, peer = house.join(Handler)
    peer.send(b"echo\n")
    house.settle()
    assert peer.read() == (b"sorry\n" if (where, end) == ("start", "close") else b"")
    peer.close()
    house.settle()
    assert handler.heard == ["setup", "finish"]
    assert handler.request.fileno() == -1


def test_an_error_in_the_handlers_own_constructor_leaves_no_row(house):
    class Handler(Noting):
        def __init__(self, *args):
            super().__init__(*args)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        house.join(Handler)
    house.settle()
    assert len(house.reactor.requests) == 0


# Nothing after the end


def test_nothing_is_delivered_after_close(house):
    handler, peer = house.connect(Noting)
    house.ask(peer, b"echo\nclose\necho\n")
    house.ask(peer, b"echo\n")
    assert handler.heard == ["setup", b"echo\n", b"close\n"]
    peer.close()
    house.settle()
    assert handler.heard == ["setup", b"echo\n", b"close\n", "finish"]


def test_nothing_is_delivered_after_an_error(house):
    handler, peer = house.connect(Noting)
    peer.send(b"fail\necho\n")
    house.settle()
    assert len(house.take_errors()) == 1
    assert peer.read() == b"" and peer.eof
    peer.close()
    house.settle()
    assert handler.heard == ["setup", b"fail\n", "finish"]


def test_offloaded_work_sleeps_and_releases_deliver_nothing_after_close(house):
    handler, _ = house.connect(Noting)
    handler.write(b"x")
    handler.offload(len, b"", then=handler.heard.append)
    finish = house.executor.start_next()
    handler.close()
    finish()
    house.settle()
    assert handler.heard == ["setup"]


@pytest.mark.parametrize("when", ["closing", "closed"])
def test_a_write_to_what_is_closing_is_dropped_with_a_debug_line(house, when):
    handler, peer = house.connect(Noting)
    house.ask(peer, b"echo\n")
    handler.close() if when == "closing" else handler.abort()
    handler.write(b"late")
    house.settle()
    assert peer.read() == b"" and peer.eof
    assert any("dropped" in line and "4 bytes" in line for line in house.lines(level=10))
    assert house.lines() == []


def test_a_write_after_close_in_the_same_state_is_dropped(house):
    class Handler(Noting):
        def line(self, line):
            self.write(b"before")
            self.close()
            self.write(b"after")

    _, peer = house.connect(Handler)
    assert house.ask(peer, b"x\n") == b"before"


# What is owed is sent


def test_close_sends_what_is_owed_then_fin_then_lingers(house):
    handler, peer = house.connect(Noting, spied=True)
    handler.socket.room = 1000
    peer.send(b"big\n")
    house.turn()
    handler.close()
    assert handler.state is RequestState.CLOSING
    house.turn()
    assert len(peer.read()) == 1000 and not peer.eof
    handler.socket.room = None
    reply = b""
    for _ in range(20):
        house.turn()
        reply += peer.read()
    assert len(reply) == 199_000
    assert peer.eof  # the FIN came after the last byte
    assert handler.state is RequestState.CLOSING  # lingers
    assert peer.send(b"unread") == 6
    house.settle()
    assert handler.state is RequestState.CLOSING and not peer.reset
    peer.close()
    house.settle()
    assert handler.state is RequestState.CLOSED


def test_the_last_reply_is_not_lost_though_unread_input_is_there(house):
    """Without lingering the kernel answers unread input with a reset, which overtakes the reply."""
    _, peer = house.connect(Noting, tcp=True)
    peer.send(b"echo\nclose\n" + bytes(10_000))
    house.wait()
    peer.send(bytes(10_000))
    house.settle()
    peer.socket.settimeout(30)
    data = b""
    while piece := peer.socket.recv(100):  # raises if it is reset
        data += piece
    assert data == b"reply\n"
    peer.end()
    house.wait()
    assert not house.reactor.requests


def test_lingering_ends_at_linger_timeout(house):
    handler, peer = house.connect(Noting)
    house.ask(peer, b"echo\nclose\n")
    house.advance(house.limits.linger_timeout - 0.1)
    assert handler.state is RequestState.CLOSING
    house.advance(1.1)
    assert handler.state is RequestState.CLOSED
    assert house.reactor.requests.counters.timed_out == 0 and house.lines() == []


def test_lingering_reads_at_most_a_mebibyte(house):
    handler, peer = house.connect(Noting)
    house.ask(peer, b"echo\nclose\n")
    sent = 0
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        while handler.state is RequestState.CLOSING and sent < 1 << 22:
            sent += peer.send(bytes(65536))
            house.turn()
    assert 1 << 20 <= sent <= (1 << 20) + (1 << 19)
    assert handler.state is RequestState.CLOSED


def test_lingering_costs_nothing_where_eof_was_already_seen(house):
    handler, peer = house.connect(Noting)
    peer.send(b"echo\nclose\n")
    peer.end()
    house.settle()
    assert handler.state is RequestState.CLOSED
    assert peer.read() == b"reply\n" and peer.eof


def test_lingering_is_over_for_a_row_that_has_been_idle_for_longer(house):
    """Its last reply has been with the peer for all that time: a thousand idle rows close in one turn."""
    handler, peer = house.connect(Noting)
    house.ask(peer, b"echo\n")
    house.advance(house.limits.linger_timeout)
    handler.close()
    house.turn()
    assert handler.state is RequestState.CLOSED
    assert peer.read() == b"" and peer.eof


def test_abort_drops_what_is_owed_and_ends_at_once(house):
    handler, peer = house.connect(Noting, spied=True)
    handler.socket.room = 10
    peer.send(b"big\n")
    house.turn()
    handler.abort()
    assert handler.state is RequestState.CLOSED
    handler.socket.room = None
    house.turn()
    assert len(peer.read()) == 10 and (peer.eof or peer.reset)
    assert handler.request.fileno() == -1


def test_its_end_reaches_the_peer_even_while_a_child_holds_the_descriptor(house):
    handler, peer = house.connect(Noting)
    with socket.socket(fileno=socket.dup(handler.request.fileno())):  # what a forked child has
        house.ask(peer, b"echo\n")
        handler.abort()
        house.settle()
        assert peer.read() == b"" and peer.eof


def test_a_reset_is_a_debug_line_and_no_traceback(house):
    _, peer = house.connect(Noting, tcp=True)
    peer.send(b"half")
    house.wait()
    peer.crash()
    house.wait()
    assert house.lines() == [] and house.take_error_lines() == []
    assert any("is gone" in line for line in house.lines(level=10))
    assert house.reactor.requests.counters.failed == 1


def test_a_peer_that_goes_while_idle_has_not_failed(house):
    _, peer = house.connect(Noting)
    house.ask(peer, b"echo\n")
    peer.close()
    house.settle()
    assert house.reactor.requests.counters.failed == 0
    assert not house.reactor.requests


# write_eof


def test_write_eof_tells_the_peer_after_what_is_owed_and_goes_on_reading(house):
    handler, peer = house.connect(Noting, spied=True)
    handler.socket.room = 3
    handler.write(b"last words")
    handler.write_eof()
    house.turn()
    assert peer.read() == b"las" and not peer.eof
    handler.socket.room = None
    house.turn()
    assert peer.read() == b"t words" and peer.eof
    handler.line = handler.heard.append
    handler.begin_with(Line(), handler.line)
    peer.send(b"still heard\n")
    house.settle()
    assert handler.heard[-1] == b"still heard\n"


def test_a_write_after_write_eof_is_a_runtime_error(house):
    class Handler(Noting):
        def line(self, line):
            self.write(b"last")
            self.write_eof()
            self.write(b"late")

    handler, peer = house.connect(Handler)
    handler.write_eof()
    with pytest.raises(RuntimeError, match="write_eof"):
        handler.write(b"late")
    handler, peer = house.connect(Handler)
    assert house.ask(peer, b"x\n") == b"last"
    assert ["write_eof" in str(exc) for exc in house.take_errors()] == [True]
    peer.close()
    house.settle()
    assert handler.state is RequestState.CLOSED


# Limits of closing


def test_with_no_linger_timeout_lingering_waits_for_the_peer():
    with House(Limits(linger_timeout=None)) as house:
        handler, peer = house.connect(Noting)
        house.ask(peer, b"echo\nclose\n")
        for _ in range(10):
            house.advance(1000)
        assert handler.state is RequestState.CLOSING
        peer.close()
        house.settle()
        assert handler.state is RequestState.CLOSED


# Shut down once, however it ends


@pytest.mark.parametrize("how", ["the peer ends first", "we close", "we abort"])
def test_the_end_reaches_the_peer_while_a_child_still_holds_the_descriptor(house, how):
    """... of a connection that nobody but itself shuts down."""

    class Keeping(Noting):
        def _release(self):
            Connection._release(self)

    handler, peer = house.connect(Keeping)
    assert house.ask(peer, b"echo\n") == b"reply\n"
    with handler.request.dup():  # what a forked child has
        if how == "the peer ends first":
            peer.end()
        elif how == "we close":
            handler.close()
        else:
            handler.abort()
        house.settle()
        peer.read()
        assert peer.eof


def test_where_the_peer_has_ended_first_the_server_s_own_shutdown_is_the_only_one(house):
    shutdowns = []
    handler, peer = house.connect(Noting)

    class Counted:
        def __getattr__(self, name):
            if name == "shutdown":
                shutdowns.append(len(house.servers[0].ended))
            return getattr(handler_request, name)

    handler_request = handler.request
    handler.socket = handler.request = Counted()
    assert house.ask(peer, b"echo\n") == b"reply\n"
    peer.end()
    house.settle()
    assert shutdowns == [1]  # within shutdown_request
    peer.read()
    assert peer.eof


def test_a_blocking_server_s_connection_is_shut_down_when_its_handler_is_done():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"echo\n")
        theirs.shutdown(socket.SHUT_WR)
        Noting(ours, "peer", None)
        theirs.settimeout(5)
        assert theirs.recv(100) == b"reply\n"
        assert theirs.recv(100) == b""
