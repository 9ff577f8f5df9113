"""What the examples share: where to listen, how to print, and an end without a traceback."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from reactor import BaseServer

Server = TypeVar("Server", bound=BaseServer)

HOST = "localhost"


def port() -> int:
    """The port to listen on: PORT in the environment, or 5639. 0 takes a free one."""
    text = os.environ.get("PORT") or "5639"
    if not (text.isascii() and text.isdigit() and int(text) < 65536):
        sys.exit(f"PORT must be a number from 0 to 65535, not {text!r}")
    return int(text)


def listen(server_class: type[Server], address: Any, handler_class: Callable[..., Any]) -> Server:
    """Make a server; if its address can't be had, say so in one line and exit with status 1."""
    try:
        return server_class(address, handler_class)
    except OSError as exc:
        where = address if isinstance(address, str) else f"{address[0]} port {address[1]}"
        sys.exit(f"{server_class.__name__} cannot listen on {where}: {exc.strerror or exc}")


@contextmanager
def until_interrupted() -> Iterator[None]:
    """Ctrl-C ends what stands in this ``with``, quietly."""
    try:
        yield
    except KeyboardInterrupt:
        pass


def serve(server_class: type[BaseServer], handler_class: Callable[..., Any]) -> None:
    """Serve on localhost until Ctrl-C."""
    with until_interrupted(), listen(server_class, (HOST, port()), handler_class) as server:
        say(f"listening on {HOST} port {server.server_address[1]}; Ctrl-C ends it")
        server.serve_forever()


def say(text: str) -> None:
    """Print a line at once, also into a pipe."""
    print(text, flush=True)


def shown(data: bytes) -> str:
    """Bytes from a stranger as text that does nothing to a terminal."""
    text = data.decode("utf-8", "backslashreplace")
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)
