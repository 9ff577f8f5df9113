"""Run one suite of CPython's `test` package in this process and print, as the last line, what came
of it in JSON. Started by `run.py`, with our modules or the standard ones under the standard names.

usage: suite.py SUITE RESOURCES PATTERN...

A SUITE that ends in .py is a file: that of another Python, where this one has it no more.
"""

import importlib
import importlib.util
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
    for name in ("asyncore", "asynchat"):
        loaded = {module.__file__ for module in list(sys.modules.values()) if is_copy(module, name)}
        if any((os.path.basename(os.path.dirname(file)) == "compat") != ours for file in loaded):
            raise RuntimeError(f"the wrong {name}: {loaded}")


def is_copy(module, name):
    """Whether this is a module *name*, whoever's and wherever it stands."""
    return os.path.basename(getattr(module, "__file__", None) or "") == f"{name}.py"


def load(suite):
    """The suite's module."""
    if not suite.endswith(".py"):
        return importlib.import_module(f"test.{suite}")
    lend_smtpd()
    name = f"test.{os.path.basename(suite).removesuffix('.py')}"
    spec = importlib.util.spec_from_file_location(name, suite)
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def lend_smtpd():
    """Have ``import smtpd`` find the copy that the `test` package has kept."""
    for place in ("", "test.support.", "test."):
        try:
            sys.modules["smtpd"] = importlib.import_module(f"{place}smtpd")
            return
        except ImportError:
            pass


def run(name, resources, patterns):
    from test import support

    support.use_resources = resources
    check_substitution(os.environ["CONFORMANCE"] == "ours")
    loader = unittest.TestLoader()
    loader.testNamePatterns = patterns or None
    try:
        tests = loader.loadTestsFromModule(load(name))
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
