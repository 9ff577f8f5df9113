"""Proves that what the kernel refuses hurts nobody: the rows that can be brought about from outside."""

from __future__ import annotations

from tests.abuse.choice import promised
from tests.abuse.rows import datagrams, kernel


@promised(kernel, datagrams)
def test_kernel(row, program, try_out):
    try_out(row, program)
