"""CPython's own suites of the modules that we stand in for, on the interpreter that runs the tests."""

import importlib.util

import pytest

from tests.conformance.run import missing, run_suite

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("test") is None or importlib.util.find_spec("test.test_socketserver") is None,
    reason="this Python has no `test` package",
)


@pytest.mark.parametrize("suite", ["test_socketserver", "test_wsgiref", "test_asynchat"])
def test_suite_passes_whole(suite):
    if reason := missing(suite, ours=True):
        pytest.skip(reason)
    outcome = run_suite(suite, ours=True)
    assert (outcome["failed"], outcome["skipped"]) == ([], []), outcome["log"]
    assert outcome["run"] > 20
