"""Proves that the fuzzer's targets run, without the fuzzer, and that they notice what is wrong."""

from __future__ import annotations

import logging
import random
import subprocess
import sys
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactor.framing import Line
from reactor.log import logger
from reactor.row import ConnectionRow
from tests.fuzz import __main__ as command
from tests.fuzz.source import Source
from tests.fuzz.targets import TARGETS
from tests.properties import FACTOR, examples

_INPUTS = st.binary(max_size=80) | st.lists(st.integers(0, 25), max_size=80).map(bytes)


@pytest.fixture(autouse=True)
def _quiet():
    level = logger.level
    logger.setLevel(logging.ERROR)
    yield
    logger.setLevel(level)


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.timeout(600)
def test_a_target_takes_any_bytes(name):
    @examples(200)
    @given(_INPUTS)
    def run(data):
        TARGETS[name](data)

    run()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", TARGETS)
def test_a_target_takes_noise(name):
    """Dice are wilder than what is drawn to be small."""
    start, stop = (0, 2500) if not FACTOR else (2500, 2500 + 2500 * FACTOR)
    for seed in range(start, stop):
        noise = random.Random(seed).randbytes(20 + seed % 180)
        try:
            TARGETS[name](noise)
        except BaseException as exc:
            exc.add_note(f"seed {seed}: {name}({noise!r})")
            raise


def test_the_command_line_knows_all_targets():
    assert list(TARGETS) == list(command.TARGETS)


#: An input for each target that reaches what is broken, and what to break.
BROKEN = {
    "framings": (bytes([0, 9, 1, 0, 0, 1, 2]) + b"ab\ncd\n", (Line, "rescan", lambda self, buffer, start: 5)),
    "machine": (
        bytes([0, 0, 9, 0, 0, 0, 0, 0, 0, 1, 2]) + b"ab\ncd\n",
        (Line, "rescan", lambda self, buffer, start: 5),
    ),
    "connection": (
        bytes([0, 0, 0, 9, 1, 0, 0, 0, 0, 1, 1, 3]),
        (ConnectionRow, "_ended", lambda self: (self.handle_close(), self.handle_close())),
    ),
}


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_notices_what_is_broken(name):
    data, (where, method, broken) = BROKEN[name]
    TARGETS[name](data)
    with patch.object(where, method, broken), pytest.raises(AssertionError):
        TARGETS[name](data)


def test_a_source_gives_zeros_when_it_is_used_up():
    source = Source(b"\x05\x02ab")
    assert (source.number(4), source.bytes(9), source.left) == (1, b"ab", 0)
    assert (source.number(9), source.flag(), source.bytes(9), source.rest()) == (0, False, b"", b"")


def test_a_kept_input_is_replayed_with_one_command(tmp_path):
    kept = tmp_path / "framings" / "crash-1"
    kept.parent.mkdir()
    kept.write_bytes(BROKEN["framings"][0])
    run = [sys.executable, "-m", "tests.fuzz", "--replay", str(kept)]
    ended = subprocess.run(
        run, capture_output=True, text=True, timeout=30, cwd=command.KEPT.parent, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "no failure" in ended.stdout
