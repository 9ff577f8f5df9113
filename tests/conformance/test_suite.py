"""CPython's own test_socketserver, with our module, on the interpreter that runs the tests."""

import importlib.util

import pytest

from tests.conformance.run import run_suite

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("test") is None or importlib.util.find_spec("test.test_socketserver") is None,
    reason="this Python has no `test` package",
)


@pytest.mark.parametrize("suite", ["test_socketserver", "test_wsgiref"])
def test_suite_passes_whole(suite):
    outcome = run_suite(suite, ours=True)
    assert (outcome["failed"], outcome["skipped"]) == ([], []), outcome["log"]
    assert outcome["run"] > 20
