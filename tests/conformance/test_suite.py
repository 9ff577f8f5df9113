"""CPython's own suites of the modules that we stand in for, on the interpreter that runs the tests."""

import importlib.util

import pytest

from tests.conformance.run import missing, run_suite

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("test") is None or importlib.util.find_spec("test.test_socketserver") is None,
    reason="this Python has no `test` package",
)

#: Why test_asyncore skips some of its tests: what they test is there for some families only.
NOT_FOR_ALL = {
    "Not applicable to AF_UNIX sockets.",
    "test specific to AF_INET and AF_INET6",
    "IPv6 support required",
}


@pytest.mark.parametrize("suite", ["test_socketserver", "test_wsgiref", "test_asyncore", "test_asynchat"])
def test_suite_passes_whole(suite):
    if reason := missing(suite, ours=True):
        pytest.skip(reason)
    outcome = run_suite(suite, ours=True)
    skipped = set(outcome["skipped"]) - (NOT_FOR_ALL if suite == "test_asyncore" else set())
    assert (outcome["failed"], skipped) == ([], set()), outcome["log"]
    assert outcome["run"] > 20
