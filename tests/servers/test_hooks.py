"""Proves that every hook of socketserver's is called, in its place and once, on every kind of server."""

import contextlib
import functools
import os
import socket
import socketserver
import sys
import threading

import pytest

import reactor
from reactor import (
    AsyncStreamRequestHandler,
    BaseRequestHandler,
    BaseServer,
    Line,
    ReactorMixIn,
    ReactorTCPServer,
    ReactorUnixStreamServer,
    StateRequestHandler,
    StreamRequestHandler,
    TCPServer,
    ThreadingTCPServer,
)
from tests.support.servers import (
    PATIENCE,
    Channel,
    connected,
    datagram_peer,
    hosts,
    made,
    nothing_left,
    open_descriptors,
    running,
    serving,
    telling_errors,
)

STREAMS = hosts("TCP", "UnixStream")
DATAGRAMS = hosts("UDP", "UnixDatagram")


class Echo(StateRequestHandler):
    """Lines; an empty one raises."""

    def start(self):
        self.expect(Line(), self.line)

    def line(self, line):
        if line == b"\n":
            raise LookupError("an empty line")
        self.write(line)


class EchoDatagram(BaseRequestHandler):
    """Datagrams; an empty one raises."""

    def handle(self):
        data, sock = self.request
        if not data:
            raise LookupError("an empty datagram")
        sock.sendto(data, self.client_address)


HOOKS = (
    "verify_request",
    "process_request",
    "finish_request",
    "shutdown_request",
    "close_request",
    "handle_error",
)


def telling_hooks(cls, channel):
    """Overridden hooks of *cls* that say their names on *channel*, with the process, and go on.
    A `get_request` that finds nothing more says nothing."""

    def get_request(self):
        request = super(type(self), self).get_request()
        channel.say("parent get_request")
        return request

    def telling(name):
        def hook(self, *args):
            channel.say(f"{'parent' if os.getpid() == parent else 'child'} {name}")
            return getattr(super(type(self), self), name)(*args)

        return hook

    parent = os.getpid()
    return {"get_request": get_request} | {name: telling(name) for name in HOOKS}


def in_order(words, *, process):
    return [name for where, name in map(str.split, words) if where == process]


ORDINARY = [
    "get_request",
    "verify_request",
    "process_request",
    "finish_request",
    "shutdown_request",
    "close_request",
]


def expected_order(cls, *, failed=False):
    """What the parent's and the child's hooks are, in order."""
    order = list(ORDINARY)
    if failed:
        order.insert(4, "handle_error")
    if hasattr(cls, "collect_children"):
        return [*ORDINARY[:3], "close_request"], order[3:]
    return order, []


@pytest.mark.parametrize("ending", ["done", "failed"])
@pytest.mark.parametrize("cls", STREAMS)
def test_a_connection_passes_every_hook_once_and_in_order(cls, ending):
    with Channel() as channel:
        with serving(cls, Echo, **telling_hooks(cls, channel)) as server, connected(server) as peer:
            if ending == "done":
                assert peer.ask(b"a line\n") == b"a line\n"
                peer.half_close()
            else:
                peer.send(b"\n")
            assert peer.rest() == b""
        words = channel.everything()
    parent, child = expected_order(cls, failed=ending == "failed")
    assert in_order(words, process="parent") == parent
    assert in_order(words, process="child") == child


@pytest.mark.parametrize("ending", ["done", "failed"])
@pytest.mark.parametrize("cls", DATAGRAMS)
def test_a_datagram_passes_every_hook_once_and_in_order(cls, ending):
    with Channel() as channel:
        hooks = telling_hooks(cls, channel)
        told = threading.Event()
        ours = os.getpid()
        last = hooks["close_request"]

        def close_request(self, request):
            last(self, request)
            if os.getpid() == ours:
                told.set()

        hooks["close_request"] = close_request
        with serving(cls, EchoDatagram, **hooks) as server, datagram_peer(server) as peer:
            peer.send(b"a word" if ending == "done" else b"")
            if ending == "done":
                assert peer.recv(100) == b"a word"
            assert told.wait(PATIENCE)
        words = channel.everything()
    parent, child = expected_order(cls, failed=ending == "failed")
    assert in_order(words, process="parent") == parent
    assert in_order(words, process="child") == child


@pytest.mark.parametrize("style", [StateRequestHandler, AsyncStreamRequestHandler])
def test_a_handler_is_made_before_anything_of_it_runs_and_shut_down_after_all_of_it(style):
    words = []

    class Handler(style):
        def __init__(self, *args):
            words.append("__init__")
            super().__init__(*args)
            self.colour = "red"

        def setup(self):
            super().setup()
            words.append(f"setup, {self.colour}")

        def start(self):
            words.append("start")
            self.expect(Line(), self.write)

        async def handle(self):
            words.append("start")
            async for line in self.rfile:
                self.wfile.write(line)

        def finish(self):
            words.append("finish")
            super().finish()

    class Server(ReactorTCPServer):
        def finish_request(self, request, client_address):
            super().finish_request(request, client_address)
            words.append("finish_request")

        def shutdown_request(self, request):
            words.append("shutdown_request")
            super().shutdown_request(request)

    with serving(Server, Handler) as server, connected(server) as peer:
        assert peer.ask(b"a line\n") == b"a line\n"
        peer.half_close()
        assert peer.rest() == b""
    assert words == ["__init__", "finish_request", "setup, red", "start", "finish", "shutdown_request"]


@pytest.mark.parametrize("cls", STREAMS)
def test_verify_request_turns_a_connection_away_before_a_handler_is_made(cls):
    def refuse(self, request, client_address):
        return False

    def not_to_be_called(self, request, client_address):
        raise AssertionError("a refused request is not processed")

    with serving(cls, Echo, verify_request=refuse, process_request=not_to_be_called) as server:
        with connected(server) as peer:
            assert peer.rest() == b""
        if isinstance(server, ReactorMixIn):
            assert server.reactor.requests.counters.refused == 1
            assert server.reactor.requests.counters.accepted == 0


@pytest.mark.parametrize("cls", DATAGRAMS)
def test_verify_request_turns_a_datagram_away(cls):
    def only_polite(self, request, client_address):
        return request[0].startswith(b"please")

    with serving(cls, EchoDatagram, verify_request=only_polite) as server, datagram_peer(server) as peer:
        peer.send(b"now!")
        peer.send(b"please")
        assert peer.recv(100) == b"please"


@pytest.mark.parametrize("cls", hosts("TCP", "UDP"))
def test_handle_error_is_called_inside_the_except_for_what_the_handler_raised(cls):
    with Channel() as errors:
        stream = cls.socket_type == socket.SOCK_STREAM
        handler = Echo if stream else EchoDatagram
        with (
            serving(cls, handler, handle_error=telling_errors(errors)) as server,
            connected(server) if stream else datagram_peer(server) as peer,
        ):
            peer.send(b"\n" if stream else b"")
            assert errors.hear().startswith("LookupError: an empty")


@pytest.mark.parametrize("cls", hosts("TCP", kinds=("", "Threading", "Reactor")))
def test_the_default_handle_error_logs_the_traceback_once(cls, caplog):
    with serving(cls, Echo) as server, connected(server) as peer:
        peer.send(b"\n")
        assert peer.rest() == b""
    [record] = caplog.records
    assert record.name == "reactor" and record.levelname == "ERROR"
    assert record.exc_info[0] is LookupError
    assert "127.0.0.1" in record.message


@pytest.mark.parametrize("hook", ["verify_request", "process_request", "finish_request", "setup"])
@pytest.mark.parametrize("cls", hosts("TCP", kinds=("Reactor",)))
def test_a_hook_that_raises_costs_one_connection(cls, hook):
    class Handler(Echo):
        def setup(self):
            super().setup()
            if hook == "setup":
                _fail_once(self.server)

    def failing_once(self, *args):
        _fail_once(self)
        return getattr(super(type(self), self), hook)(*args)

    def _fail_once(server):
        if not server.failed:
            server.failed = True
            raise LookupError("once")

    attributes = {} if hook == "setup" else {hook: failing_once}
    with Channel() as errors:
        attributes |= {"failed": False, "handle_error": telling_errors(errors)}
        with nothing_left(), serving(cls, Handler, **attributes) as server:
            with connected(server) as peer:
                assert peer.rest() == b""
            assert errors.hear() == "LookupError: once"
            with connected(server) as peer:
                assert peer.ask(b"a line\n") == b"a line\n"
            assert errors.silent()


@pytest.mark.parametrize("cls", hosts("TCP", "UDP", "UnixStream", "UnixDatagram"))
def test_service_actions_is_called_while_serving(cls):
    called = threading.Event()
    handler = Echo if cls.socket_type == socket.SOCK_STREAM else EchoDatagram

    def service_actions(self):
        super(type(self), self).service_actions()
        called.set()

    with made(cls, handler, service_actions=service_actions) as server, running(server, 0.01):
        assert called.wait(PATIENCE)
        called.clear()
        assert called.wait(PATIENCE)  # again and again


# server_close


@pytest.mark.parametrize("cls", STREAMS)
def test_server_close_leaves_no_descriptor_thread_child_or_path(cls):
    with nothing_left():
        with made(cls, Echo) as server:
            path = server.server_address
            with running(server):
                with connected(server) as peer:
                    assert peer.ask(b"a line\n") == b"a line\n"
                if isinstance(server, ReactorMixIn):  # the others wait for their handlers
                    with connected(server) as peer:
                        assert peer.ask(b"a line\nhalf a") == b"a line\n"
                        server.server_close()
                        assert peer.rest() == b""
                        server.server_close()
        if isinstance(path, str):
            assert not os.path.exists(path)


@pytest.mark.parametrize("cls", DATAGRAMS)
def test_server_close_leaves_nothing_of_a_datagram_server(cls):
    with nothing_left():
        with serving(cls, EchoDatagram) as server, datagram_peer(server) as peer:
            path = server.server_address
            peer.send(b"a word")
            assert peer.recv(100) == b"a word"
        if isinstance(path, str):
            assert not os.path.exists(path)


@pytest.mark.parametrize("failing", ["server_bind", "server_activate"])
@pytest.mark.parametrize("cls", STREAMS)
def test_a_server_that_cannot_start_leaves_no_descriptor(cls, failing):
    def fail(self):
        raise OSError("not today")

    with nothing_left(), pytest.raises(OSError, match="not today"), made(cls, Echo, **{failing: fail}):
        pass


# How handlers are made


@pytest.mark.parametrize("cls", hosts("TCP", standard=True))
def test_finish_request_may_be_overridden_to_pass_more(cls):
    class Coloured(Echo):
        def __init__(self, *args, colour):
            self.colour = colour
            super().__init__(*args)

        def line(self, line):
            self.write(f"{self.colour}\n".encode())

    def finish_request(self, request, client_address):
        self.RequestHandlerClass(request, client_address, self, colour="red")

    with serving(cls, Coloured, finish_request=finish_request) as server, connected(server) as peer:
        assert peer.ask(b"colour?\n") == b"red\n"


@pytest.mark.parametrize("cls", hosts("TCP", standard=True))
def test_functools_partial_is_a_handler_class(cls):
    class Coloured(AsyncStreamRequestHandler):
        def __init__(self, *args, colour, size):
            self.words = f"{size} {colour}\n".encode()
            super().__init__(*args)

        async def handle(self):
            self.wfile.write(self.words)

    handler = functools.partial(functools.partial(Coloured, colour="red"), size="big")
    with serving(cls, handler) as server, connected(server) as peer:
        assert peer.rest() == b"big red\n"


@pytest.mark.parametrize(
    "factory",
    [
        lambda *args: Echo(*args),
        functools.partial(lambda colour, *args: Echo(*args), "red"),
        functools.partial(StreamRequestHandler),
    ],
)
def test_a_factory_that_hides_its_class_is_refused_by_a_reactor_server(factory):
    with pytest.raises(TypeError, match=r"functools.partial|StateRequestHandler"):
        ReactorTCPServer(("127.0.0.1", 0), factory)


def test_an_opaque_factory_is_welcome_on_classic_servers():
    with serving(ThreadingTCPServer, lambda *args: Echo(*args)) as server, connected(server) as peer:
        assert peer.ask(b"a line\n") == b"a line\n"


@pytest.mark.parametrize("base", [ReactorTCPServer, ReactorUnixStreamServer, (ReactorMixIn, BaseServer)])
def test_the_base_constructor_alone_is_enough_for_finish_request_in_the_loop(base):
    class Bare(*(base if isinstance(base, tuple) else (base,))):
        def __init__(self):
            BaseServer.__init__(self, "nowhere", Echo)

        def close_request(self, request):  # a BaseServer leaves that to its subclasses
            request.close()

    with nothing_left():
        ours, theirs = socket.socketpair()
        with ours, theirs:
            theirs.settimeout(PATIENCE)
            server = Bare()
            server.finish_request(ours, "somebody")
            theirs.sendall(b"a line\n")
            theirs.shutdown(socket.SHUT_WR)
            while server.reactor.requests:
                server.reactor.handle_events(PATIENCE)
            assert theirs.recv(100) == b"a line\n"
            assert theirs.recv(100) == b""
            assert ours.fileno() == -1
            server.reactor.close()


@pytest.mark.parametrize("base", [TCPServer, ThreadingTCPServer, BaseServer])
def test_the_base_constructor_alone_is_enough_for_finish_request_here_and_now(base):
    class Bare(base):
        def __init__(self):
            BaseServer.__init__(self, "nowhere", Echo)

    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"a line\n")
        theirs.shutdown(socket.SHUT_WR)
        Bare().finish_request(ours, "somebody")
        assert theirs.recv(100) == b"a line\n"
        assert ours.gettimeout() is None  # given back as it was


@pytest.mark.parametrize("server", [None, object()], ids=["None", "a mock"])
def test_a_handler_made_by_hand_runs_here_and_now(server):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"a line\n")
        theirs.shutdown(socket.SHUT_WR)
        Echo(ours, "somebody", server)
        assert theirs.recv(100) == b"a line\n"


# Mix-ins that exclude each other


@pytest.mark.parametrize("order", ["ReactorMixIn first", "ReactorMixIn last"])
@pytest.mark.parametrize("module", [reactor, socketserver], ids=["ours", "socketserver's"])
@pytest.mark.parametrize("name", ["ThreadingMixIn", "ForkingMixIn"])
def test_two_mix_ins_that_exclude_each_other_are_refused_when_the_class_is_made(name, module, order):
    mixins = [ReactorMixIn, getattr(module, name)]
    if order == "ReactorMixIn last":
        mixins.reverse()
    with pytest.raises(TypeError, match=f"Both.*{name}.*choose one"):
        type("Both", (*mixins, TCPServer), {})


@pytest.mark.parametrize("module", [reactor, socketserver], ids=["ours", "socketserver's"])
def test_mix_ins_of_the_standard_library_work_with_our_servers_and_ours_with_its(module):
    other = socketserver if module is reactor else reactor

    class Mixed(module.ThreadingMixIn, other.TCPServer):
        pass

    with nothing_left(), serving(Mixed, Echo) as server, connected(server) as peer:
        assert peer.ask(b"a line\n") == b"a line\n"


def test_a_closed_connection_is_not_left_open_by_a_handler_that_kept_it():
    kept = []

    class Keeper(Echo):
        def start(self):
            kept.append(self)
            super().start()

    before = open_descriptors()
    with serving(ReactorTCPServer, Keeper) as server, connected(server) as peer:
        peer.half_close()
        assert peer.rest() == b""
        with contextlib.suppress(RuntimeError):
            server.reactor.call_soon_threadsafe(kept[0].write, b"too late")
    assert open_descriptors() == before
    assert "closed" in repr(kept[0])
    assert sys.getrefcount(kept[0]) > 1
