"""What is judged without a server: memory, the log; and that nobody's patience is forgotten."""

from __future__ import annotations

import random
import sys

import pytest

from tests.soak import loop as loops
from tests.soak.halfopen import half_open
from tests.soak.logged import Log
from tests.soak.loop import EVENT_READ, Impatient, Loop, Wait
from tests.soak.peers import Peer, Steps
from tests.soak.verdict import FLAT_AT_LEAST, Reading, memory, reasons


def run_of(seconds: int, leak: float) -> list[Reading]:
    """A server that grows at first, then by *leak* KiB a second, with peaks, and now and then much less."""
    rng = random.Random(seconds)
    found = []
    for second in range(seconds):
        filling = 10_000 * (1 - 0.8**second)
        peak = rng.choice([0, 0, 0, 800, -3000])
        found.append(Reading(second, round(15_000 + filling + leak * second + peak), 10, 1.0, 0))
    return found


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the soak reads Linux's /proc")


@pytest.mark.parametrize("seconds", [60, 600, 3600])
def test_memory_that_fills_and_has_peaks_is_flat(seconds: int) -> None:
    kept = memory(run_of(seconds, 0))
    assert kept is not None
    assert abs(kept.slope) < kept.most / 2
    assert reasons(run_of(seconds, 0), Log(), one_log=True) == []


@pytest.mark.parametrize("seconds", [60, 600, 3600])
def test_a_leak_is_found_however_long_it_takes(seconds: int) -> None:
    (found,) = reasons(run_of(seconds, 1.5 * FLAT_AT_LEAST / (0.6 * seconds)), Log(), one_log=True)
    assert found.startswith("memory rises by ")


def test_a_short_run_says_nothing_of_memory() -> None:
    assert memory([]) is None
    assert memory(run_of(30, 1000)) is None


ERROR = """error in <Lines ('127.0.0.1', 42) reading>
Traceback (most recent call last):
  File "somewhere", line 1, in it
    raise Asked()
tests.abuse.lines.Asked: as the line says
"""

LIMITS = """closing ('127.0.0.1', 42): request_timeout: 10 s passed waiting for a line (1 bytes)
request_timeout: 3 more in the last second or so
refused ('127.0.0.1', 42): max_connections: 5 of 5 (and 7 more like it since the last such line)
refused: max_connections: 2 more in the last second or so
"""

MORE_ERRORS = "Asked at /home/you/tests/abuse/lines.py:28: 2 more in the last second or so\n"


def test_limits_and_errors_that_were_asked_for_are_expected() -> None:
    log = Log()
    log.read(LIMITS, 1.0)
    log.read(LIMITS + ERROR + ERROR + MORE_ERRORS, 2.0)
    assert log.causes == {"request_timeout": 2, "refused": 2, "Asked": 3}
    assert log.unexpected == []


@pytest.mark.parametrize(
    "text",
    [
        ERROR.replace("Asked: as", "Other: as"),
        "draining cut short by a second signal\n",
        "lost ('::1', 1): x\n",
    ],
)
def test_anything_else_is_not(text: str) -> None:
    log = Log()
    log.read(LIMITS + text, 1.0)
    assert log.unexpected == text.splitlines()
    assert "that no limit explains" in reasons([], log, one_log=True)[0]


def test_a_flood_is_found_if_one_process_logs() -> None:
    log = Log()
    log.read(LIMITS * 10, 18.0)
    assert log.causes == {"request_timeout": 20, "refused": 20}
    assert reasons([], log, one_log=True) == []
    log.read(LIMITS * 15, 20.0)
    assert len(reasons([], log, one_log=True)) == 2
    assert reasons([], log, one_log=False) == []


TABLE = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid
   0: 0100007F:1607 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0
   1: 0100007F:1607 0201007F:8001 01 00000000:00000000 00:00000000 00000000     0
   2: 0201007F:8001 0100007F:1607 01 00000000:00000000 00:00000000 00000000     0
   3: 0100007F:1607 0201007F:8002 01 00000000:00000000 00:00000000 00000000     0
   4: 0201007F:8002 0100007F:1607 06 00000000:00000000 00:00000000 00000000     0
   5: 0100007F:1607 0201007F:8003 01 00000000:00000000 00:00000000 00000000     0
   6: 0100007F:1608 0201007F:8004 01 00000000:00000000 00:00000000 00000000     0
"""


def test_connections_without_another_end_are_counted() -> None:
    assert half_open(0x1607, TABLE) == 2
    assert half_open(0x1608, TABLE) == 1
    assert half_open(0x1609, TABLE) == 0


def test_who_waits_in_vain_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "LOOK_AROUND", 0.01)
    heard = []

    def waits(peer: Peer) -> Steps[None]:
        with peer:
            try:
                yield Wait(peer, EVENT_READ, 0.01)
            except Impatient:
                heard.append("impatient")
        raise ValueError("a script with a bug")

    loop = Loop(heard.append)
    peer = Peer(loop, random.Random(1))
    peer.socket.listen()
    loop.start(waits(peer))
    assert loop.run(lambda: not loop, 10.0)
    loop.close()
    assert heard[0] == "impatient"
    assert repr(heard[1:]) == "[ValueError('a script with a bug')]"
