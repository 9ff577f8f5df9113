"""Which rows a test is about."""

from __future__ import annotations

from types import ModuleType

import pytest

from tests.abuse import rows  # noqa: F401 - defines all of them
from tests.abuse.contenders import PROGRAMS
from tests.abuse.scene import ROWS


def promised(*modules: ModuleType, slow: bool = False) -> pytest.MarkDecorator:
    """Parameters `row` and `program`: the rows of *modules*, on each of our programs that promises them."""
    return pytest.mark.parametrize(
        ("row", "program"),
        [
            pytest.param(row, program, id=f"{row.name}-{program.name}")
            for row in ROWS.values()
            for program in PROGRAMS.values()
            if row.run.__module__ in {module.__name__ for module in modules} and row.slow is slow
            if row.is_promised_by(program)
        ],
    )
