"""Proves that no peer hurts anybody else: each row on each of our servers that promises to stand it."""

from __future__ import annotations

from tests.abuse.choice import promised
from tests.abuse.rows import coming_and_going, requests, room, unread


@promised(coming_and_going, requests, unread, room)
def test_peer(row, program, try_out):
    try_out(row, program)
