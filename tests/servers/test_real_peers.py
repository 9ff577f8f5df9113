"""Proves that programs of others get what they expect: nc, curl, http.client, asyncio."""

import asyncio
import http.client
import shutil
import subprocess
import tempfile

import pytest

from reactor import AsyncStreamRequestHandler, Exactly, Line, StateRequestHandler, Until
from tests.support.servers import PATIENCE, Thread, hosts, serving

EVERY = hosts("TCP", standard=True)
NOT_BLOCKING = hosts("TCP", kinds=("Threading", "Reactor"))


def run(*command, stdin=b""):
    """Run a program to its end; what it printed. It reads and writes files: of a pipe, a forking
    server's child would hold a copy, and the program and we would wait for its end."""
    with (
        tempfile.TemporaryFile() as given,
        tempfile.TemporaryFile() as printed,
        tempfile.TemporaryFile() as complaints,
    ):
        given.write(stdin)
        given.seek(0)
        done = subprocess.run(
            command, stdin=given, stdout=printed, stderr=complaints, timeout=PATIENCE, check=False
        )
        complaints.seek(0)
        assert done.returncode == 0, complaints.read().decode()
        printed.seek(0)
        return printed.read()


def needs(program):
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


# Lines


class StateEcho(StateRequestHandler):
    """Lines, sent back."""

    def start(self):
        self.expect(Line(partial=True), self.line)

    def line(self, line):
        self.write(line)


class CoroutineEcho(AsyncStreamRequestHandler):
    async def handle(self):
        async for line in self.rfile:
            self.wfile.write(line)


ECHOES = [StateEcho, CoroutineEcho]
LINES = b"".join(b"line %d\n" % number for number in range(20_000)) + b"and no end"


@needs("nc")
@pytest.mark.parametrize("handler", ECHOES)
@pytest.mark.parametrize("cls", EVERY)
def test_nc_gets_every_line_back_after_its_half_close(cls, handler):
    with serving(cls, handler) as server:
        host, port = server.server_address
        assert run("nc", "-N", host, str(port), stdin=LINES) == LINES


@needs("nc")
@pytest.mark.parametrize("handler", ECHOES)
@pytest.mark.parametrize("cls", hosts("UnixStream", standard=True))
def test_nc_gets_every_line_back_from_a_unix_server(cls, handler):
    with serving(cls, handler) as server:
        assert run("nc", "-N", "-U", server.server_address, stdin=LINES) == LINES


@pytest.mark.parametrize("handler", ECHOES)
@pytest.mark.parametrize("cls", NOT_BLOCKING)
def test_asyncio_clients_talk_to_a_server_side_by_side(cls, handler):
    async def talk(address, number):
        reader, writer = await asyncio.open_connection(*address)
        for turn in range(10):
            line = b"%d says %d\n" % (number, turn)
            writer.write(line)
            assert await reader.readline() == line
        writer.write(LINES)
        writer.write_eof()
        assert await reader.read() == LINES
        writer.close()
        await writer.wait_closed()
        return number

    async def talk_all(address):
        return await asyncio.gather(*(talk(address, number) for number in range(20)))

    with serving(cls, handler) as server:
        assert asyncio.run(talk_all(server.server_address)) == list(range(20))


# HTTP, in fifteen lines


def reply(method, path, body, number):
    text = b"%s %s %d #%d" % (method, path, len(body), number)
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text)


def parsed(head):
    """The method and path of a request, its header fields."""
    first, *lines = head.lower().decode().split("\r\n")
    method, path, _ = first.split(" ")
    return method.encode(), path.encode(), dict(line.split(": ") for line in lines if line)


class StateHTTP(StateRequestHandler):
    """Says what was asked, and as the how manieth request of its connection."""

    def start(self):
        self.expect(Until(b"\r\n\r\n"), self.head)

    def head(self, head):
        self.method, self.path, self.fields = parsed(head)
        self.expect(Exactly(int(self.fields.get("content-length", 0))), self.body)

    def body(self, body):
        self.write(reply(self.method, self.path, body, self.completed + 1))
        if self.fields.get("connection") == "close":
            self.close()


class CoroutineHTTP(AsyncStreamRequestHandler):
    async def handle(self):
        for number in range(1, 100):
            method, path, fields = parsed(await self.rfile.readuntil(b"\r\n\r\n"))
            body = await self.rfile.readexactly(int(fields.get("content-length", 0)))
            self.wfile.write(reply(method, path, body, number))
            if fields.get("connection") == "close":
                return


class QuietCoroutineHTTP(CoroutineHTTP):
    """A client that leaves between requests is no error."""

    async def handle(self):
        try:
            await super().handle()
        except EOFError:
            pass


HTTPS = [StateHTTP, QuietCoroutineHTTP]


@needs("curl")
@pytest.mark.parametrize("handler", HTTPS)
@pytest.mark.parametrize("cls", EVERY)
def test_curl_keeps_its_connection_for_several_requests(cls, handler):
    with serving(cls, handler) as server:
        urls = [f"http://127.0.0.1:{server.server_address[1]}/{name}" for name in "abc"]
        said = run("curl", "-sS", "-w", " (%{num_connects} new)\\n", *urls)
    assert said.decode().splitlines() == [
        "get /a 0 #1 (1 new)",
        "get /b 0 #2 (0 new)",
        "get /c 0 #3 (0 new)",
    ]


@needs("curl")
@pytest.mark.parametrize("handler", HTTPS)
@pytest.mark.parametrize("cls", EVERY)
def test_curl_is_content_with_connection_close(cls, handler):
    with serving(cls, handler) as server:
        urls = [f"http://127.0.0.1:{server.server_address[1]}/{name}" for name in "ab"]
        said = run("curl", "-sS", "-H", "Connection: close", "-w", " (%{num_connects} new)\\n", *urls)
    assert said.decode().splitlines() == ["get /a 0 #1 (1 new)", "get /b 0 #1 (1 new)"]


@needs("curl")
@pytest.mark.parametrize("handler", HTTPS)
@pytest.mark.parametrize("cls", EVERY)
def test_curl_posts_a_body(cls, handler):
    with serving(cls, handler) as server:
        url = f"http://127.0.0.1:{server.server_address[1]}/form"
        said = run("curl", "-sS", "-H", "Expect:", "--data-binary", "@-", url, stdin=b"x" * 500_000)
    assert said == b"post /form 500000 #1"


@pytest.mark.parametrize("handler", HTTPS)
@pytest.mark.parametrize("cls", NOT_BLOCKING)
def test_http_client_keeps_its_connections_side_by_side(cls, handler):
    def ask(number):
        connection = http.client.HTTPConnection(*server.server_address, timeout=PATIENCE)
        try:
            said = []
            for _ in range(5):
                connection.request("PUT", f"/{number}", body=b"x" * number)
                said.append(connection.getresponse().read())
            connection.request("GET", "/", headers={"Connection": "close"})
            said.append(connection.getresponse().read())
            return said
        finally:
            connection.close()

    with serving(cls, handler) as server:
        threads = [Thread(ask, number) for number in range(10)]
        for number, thread in enumerate(threads):
            expected = [b"put /%d %d #%d" % (number, number, turn) for turn in range(1, 6)]
            assert thread.finish() == [*expected, b"get / 0 #6"]
