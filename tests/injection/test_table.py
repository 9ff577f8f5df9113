"""Proves that the table is tried whole, and each call at its first, second and n-th."""

from __future__ import annotations

import errno

from tests.injection import test_clients, test_datagrams, test_streams
from tests.injection.table import HARMLESS, PLACES, TABLE, errnos

TRIED = {
    *(case.values[1] for case in test_streams.CASES),
    *(fault for _, fault in test_datagrams.CASES),
    *(fault for _, fault in test_clients.CASES),
}


def test_every_errno_of_every_call():
    assert {(fault.call, fault.name) for fault in TRIED} == {
        (call, name) for call in TABLE for name in errnos(call)
    }


def test_every_call_at_its_first_second_and_nth():
    assert {(fault.call, fault.nth) for fault in TRIED} == {(call, nth) for call in TABLE for nth in PLACES}


def test_every_name_is_one_of_this_system():
    names = {name for call in TABLE for name in errnos(call)}
    assert all(isinstance(getattr(errno, name), int) for name in names)
    assert all(set(names.split()) <= set(errnos(call)) for call, names in HARMLESS.items())
