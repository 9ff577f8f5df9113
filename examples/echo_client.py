"""Send a line to an echo server and print what comes back. A plain blocking client, for any of them."""

import argparse
import os
import socket
import sys
import tempfile

SECONDS = 10.0  # to wait for an answer


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Send a line to an echo server, print the answer.")
    parser.add_argument("words", nargs="+", help="what to send")
    parser.add_argument("--port", default=os.environ.get("PORT") or "5639", help="instead of $PORT, or 5639")
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--udp", action="store_true", help="by UDP instead of TCP")
    way.add_argument(
        "--unix", nargs="?", const="", metavar="PATH", help="by a Unix socket; last, or as --unix=PATH"
    )
    return parser.parse_args()


def connect(args: argparse.Namespace) -> socket.socket:
    """A connected socket; for UDP that means: answers come from there and nowhere else."""
    address: str | tuple[str, int] = "localhost", int(args.port)
    if args.unix is not None:
        address = args.unix or os.path.join(tempfile.gettempdir(), f"reactor-echo-{args.port}.sock")
    kind = socket.SOCK_DGRAM if args.udp else socket.SOCK_STREAM
    client = socket.socket(socket.AF_INET if args.unix is None else socket.AF_UNIX, kind)
    client.settimeout(SECONDS)
    try:
        client.connect(address)
    except OSError:
        client.close()
        raise
    return client


def ask(client: socket.socket, line: bytes) -> bytes:
    """Send *line*; the answer is what comes until a newline, or until the server closes."""
    client.sendall(line)
    if client.type == socket.SOCK_DGRAM:
        return client.recv(65536)
    with client.makefile("rb") as replies:
        return replies.readline()


def main() -> None:
    args = arguments()
    line = os.fsencode(" ".join(args.words)) + b"\n"
    if not (args.port.isdecimal() and int(args.port) < 65536):
        sys.exit(f"the port must be a number from 0 to 65535, not {args.port!r}")
    try:
        with connect(args) as client:
            answer = ask(client, line)
    except OSError as exc:
        where = f"localhost port {args.port}" if args.unix is None else "the Unix socket"
        sys.exit(f"no answer from {where}: {exc.strerror or exc}")
    print("Send:    ", line.decode("utf-8", "replace").rstrip("\n"))
    print("received:", answer.decode("utf-8", "replace").rstrip("\r\n"))


if __name__ == "__main__":
    main()
