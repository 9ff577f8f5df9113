"""Proves the default limits that are times. These rows run in the background; see `conftest`."""

from __future__ import annotations

from tests.abuse.choice import promised
from tests.abuse.rows import requests, unread


@promised(requests, unread, slow=True)
def test_time(row, program, slow_outcome, figures):
    outcome = slow_outcome(row.name, program.name)
    assert outcome.failure is None, outcome.failure
    figures.append(outcome.figures)
