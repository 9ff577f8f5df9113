"""The statements of a file that can be deleted, and the file without one of them.

A deleted statement becomes ``pass``, so that lines keep their numbers. Compound statements are
deleted whole as well as statement by statement; a ``def`` or ``class`` only statement by statement.
Left alone is what only a reader or a type checker sees: docstrings, annotations, imports, ``__all__``.
"""

from __future__ import annotations

import ast
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

#: In place of a function's name, for what stands outside all of them.
MODULE = "<module>"


@dataclass(frozen=True)
class Mutant:
    """A file without one of its statements.

    `occurrence`: 1 for the first statement of that text in its function, 2 for the second.
    `lines`: where a test that runs the statement has been. `at_import`: it is run by importing
    the file; `binds` are the names it then gives something to.
    """

    file: str
    function: str
    statement: str
    occurrence: int
    lines: range
    at_import: bool
    binds: tuple[str, ...]
    source: bytes

    @property
    def key(self) -> tuple[str, str, str, int]:
        """What it is reviewed under. Neither its place in the file nor its layout matter."""
        return self.file, self.function, canonical(self.statement), self.occurrence

    def __str__(self) -> str:
        first, *more = self.statement.splitlines()
        place = f"{self.file}:{self.lines.start}: {self.function}: {first}"
        return place + (" [...]" if more else "")


def canonical(statement: str) -> str:
    """The same for every layout of *statement*, with or without comments."""
    return ast.dump(ast.parse(statement.removeprefix("el") if _is_elif(statement) else statement))


def mutants(file: str, source: bytes) -> list[Mutant]:
    """All that *source*, which stands in *file*, can become by deleting one statement."""
    found = []
    seen: Counter[tuple[str, str]] = Counter()
    lines = source.splitlines(keepends=True)
    for function, at_import, node in _statements(ast.parse(source).body, (), True):
        start = sum(map(len, lines[: node.lineno - 1])) + node.col_offset
        assert node.end_lineno is not None and node.end_col_offset is not None
        end = sum(map(len, lines[: node.end_lineno - 1])) + node.end_col_offset
        text = source[start:end].decode()
        statement = textwrap.dedent(" " * node.col_offset + text)
        name = ".".join(function) or MODULE
        seen[name, canonical(statement)] += 1
        found.append(
            Mutant(
                file,
                name,
                statement,
                seen[name, canonical(statement)],
                _header(node),
                at_import,
                tuple(_bound(node)) if at_import else (),
                source[:start] + (b"else: pass" if _is_elif(text) else b"pass") + source[end:],
            )
        )
    return found


def _statements(
    body: Iterable[ast.stmt], function: tuple[str, ...], at_import: bool
) -> Iterator[tuple[tuple[str, ...], bool, ast.stmt]]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _statements(node.body, (*function, node.name), False)
        elif isinstance(node, ast.ClassDef):
            yield from _statements(node.body, (*function, node.name), at_import)
        elif isinstance(node, ast.If) and _name(node.test) == "TYPE_CHECKING":
            yield from _statements(node.orelse, function, at_import)
        elif not _for_readers(node):
            yield function, at_import, node
            for block in _blocks(node):
                yield from _statements(block, function, at_import)


def _blocks(node: ast.stmt) -> Iterator[list[ast.stmt]]:
    for part in (node, *getattr(node, "handlers", ()), *getattr(node, "cases", ())):
        yield getattr(part, "body", [])
    yield getattr(node, "orelse", [])
    yield getattr(node, "finalbody", [])


def _for_readers(node: ast.stmt) -> bool:
    match node:
        case (
            ast.Import()
            | ast.ImportFrom()
            | ast.Pass()
            | ast.Expr(ast.Constant())
            | ast.AnnAssign(value=None)
        ):
            return True
        case ast.Assign() | ast.AnnAssign() | ast.AugAssign():
            return "__all__" in _bound(node)
    return False


def _bound(node: ast.stmt) -> list[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _header(node: ast.stmt) -> range:
    """A simple statement's lines; of a compound one those up to the end of the first inside it."""
    inside = next((block for block in _blocks(node) if block), None)
    end = inside[0].end_lineno if inside else node.end_lineno
    assert end is not None
    return range(node.lineno, end + 1)


def _name(node: ast.expr) -> str | None:
    return node.id if isinstance(node, ast.Name) else getattr(node, "attr", None)


def _is_elif(statement: str) -> bool:
    return statement.startswith(("elif ", "elif("))
