"""Proves that no bug of a handler hurts others, and that SIGTERM ends each of our servers in good order."""

from __future__ import annotations

from tests.abuse.choice import promised
from tests.abuse.rows import handlers, the_end


@promised(handlers, the_end)
def test_handler_or_end(row, program, try_out):
    try_out(row, program)
