"""Which tests speak of a statement. Hundreds may run it, and hardly one looks at what it does."""

from __future__ import annotations

import ast
import pathlib
import re
from functools import cache

#: A name that fewer test functions than this mention says which of them are about it.
RARE = 10

_WORD = re.compile(r"\w+")


def named_first(tests: list[str], statement: str, folder: pathlib.Path) -> list[str]:
    """Those first that mention a name of *statement* that few do."""
    words = {test: _words(folder, test.partition("[")[0]) for test in tests}
    by_function = {test.partition("[")[0]: found for test, found in words.items()}
    names = set(_WORD.findall(statement))
    rare = {name for name in names if sum(name in found for found in by_function.values()) < RARE}
    return sorted(tests, key=lambda test: rare.isdisjoint(words[test]))


@cache
def _words(folder: pathlib.Path, function: str) -> frozenset[str]:
    """What a test mentions, in its parameters too."""
    file, *_, name = function.split("::")
    return _words_by_function(folder / file).get(name, frozenset())


@cache
def _words_by_function(path: pathlib.Path) -> dict[str, frozenset[str]]:
    lines = path.read_text().splitlines()
    found = {}
    for node in ast.walk(ast.parse("\n".join(lines))):
        if isinstance(node, ast.FunctionDef):
            start = min(each.lineno for each in (node, *node.decorator_list))
            found[node.name] = frozenset(_WORD.findall("\n".join(lines[start - 1 : node.end_lineno])))
    return found
