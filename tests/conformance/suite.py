"""Run one suite of the interpreter's `test` package in this process and print, as the last line, what came
of it in JSON. Started by `run.py`, with our module or the standard one under the standard name.

usage: suite.py SUITE RESOURCES PATTERN...
"""

import importlib
import json
import os
import sys
import unittest


def check_substitution(ours):
    """Raise `RuntimeError` unless everything has the module that it should have."""
    import http.server
    import socketserver

    found = os.path.basename(os.path.dirname(socketserver.__file__)) == "reactor"
    if found != ours or not issubclass(http.server.HTTPServer, socketserver.TCPServer):
        raise RuntimeError(f"the wrong socketserver: {socketserver.__file__}")
    if ours:
        import sitecustomize

        if strays := sitecustomize.strays():
            raise RuntimeError(f"derived from the standard library's classes: {strays}")


def run(name, resources, patterns):
    from test import support

    support.use_resources = resources
    check_substitution(os.environ["CONFORMANCE"] == "ours")
    loader = unittest.TestLoader()
    loader.testNamePatterns = patterns or None
    try:
        tests = loader.loadTestsFromModule(importlib.import_module(f"test.{name}"))
    except unittest.SkipTest as exc:
        return {"run": 0, "failed": [], "skipped": [str(exc)]}
    result = unittest.TextTestRunner(sys.stderr, verbosity=2).run(tests)
    check_substitution(os.environ["CONFORMANCE"] == "ours")
    failed = [str(test) for test, _ in result.failures + result.errors] + result.unexpectedSuccesses
    if support.environment_altered:
        failed.append("something was left behind: a thread, a process or a setting")
    return {"run": result.testsRun, "failed": failed, "skipped": [reason for _, reason in result.skipped]}


if __name__ == "__main__":
    outcome = run(sys.argv[1], sys.argv[2].split(","), sys.argv[3:])
    print(json.dumps(outcome), flush=True)
    os._exit(0)  # threads that a failed test has left must not hold this up
