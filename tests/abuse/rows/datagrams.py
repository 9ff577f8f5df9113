"""Rows about datagrams."""

from __future__ import annotations

import socket
import struct

from tests.abuse.lines import reply
from tests.abuse.scene import CannotTell, Scene, row

#: The largest that UDP over IPv4 can carry.
LARGEST = 65_507


@row("Empty datagrams are answered", kind="datagrams")
def empty_datagrams(scene: Scene) -> None:
    peer = scene.datagram_peer()
    for _ in range(200):
        assert peer.ask(b"") == b""


@row("The largest datagrams arrive whole", kind="datagrams", settings={"max_packet_size": 65_535})
def largest_datagrams(scene: Scene) -> None:
    peer = scene.datagram_peer()
    for letter in b"abcdefghijklmnopqrstuvwxyz":
        data = bytes([letter]) * LARGEST
        assert peer.ask(data) == reply(data)


@row("Datagrams longer than the server takes are cut", kind="datagrams")
def cut_datagrams(scene: Scene) -> None:
    peer = scene.datagram_peer()
    for letter in b"abcdefghijklmnopqrstuvwxyz":
        data = bytes([letter]) * LARGEST
        answer = peer.ask(data)
        assert len(answer) >= 8192 and reply(data).startswith(answer)


@row("Replies to peers that are gone (`ECONNREFUSED`)", kind="datagrams")
def gone_before_the_reply(scene: Scene) -> None:
    for number in range(500):
        peer = scene.datagram_peer()
        peer.send(b"1000\n")
        peer.socket.close()
        if number % 50 == 49:
            scene.bystander.wait_for(1)  # more at once, and the kernel throws datagrams away


@row("Datagrams from port 0, which cannot be answered", kind="datagrams")
def port_zero(scene: Scene) -> None:
    try:
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
    except PermissionError:
        raise CannotTell("a raw socket is not permitted") from None
    data = b"where to?\n"
    header = struct.pack("!HHHH", 0, scene.target.port, 8 + len(data), 0)
    with raw:
        for _ in range(50):
            raw.sendto(header + data, ("127.0.0.1", 0))
    scene.bystander.wait_for(1)
