"""A lineup: whose turn it is, and what becomes of those that fail."""

from dataclasses import dataclass

import pytest
from harness import lineup
from harness.contenders import Contender
from harness.figures import Result
from harness.lineup import Lineup, Talk
from harness.processes import BenchmarkError
from harness.settings import Settings

OURS, PEER, OTHER = (
    Contender(name, f"{name}.py", package)
    for name, package in (("ours", None), ("peer", "json"), ("other", "json"))
)
THREE = Settings(rounds_per_process=3)


@dataclass
class World:
    """What happened, in order, and which servers do not start."""

    log: list
    broken: set


@pytest.fixture
def world(monkeypatch):
    world = World([], set())

    class Server:
        def __init__(self, contender):
            self.contender = contender

        def __enter__(self):
            if self.contender in world.broken:
                raise BenchmarkError("it ended early")
            world.log.append(f"{self.contender.name} starts")

        def __exit__(self, *_):
            self.stop()

        def stop(self):
            world.log.append(f"{self.contender.name} stops")

        def pause(self):
            world.log.append(f"{self.contender.name} sleeps")

        def go_on(self):
            world.log.append(f"{self.contender.name} works")

    class Client:
        def __init__(self, server, *options, size):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(lineup, "Server", Server)
    monkeypatch.setattr(lineup, "Client", Client)
    return world


def make(*contenders):
    result = Result("r", "", [])
    return result, Lineup(result, contenders, Talk(lambda member: None, lambda client, seconds: 1))


def test_everybody_works_alone_and_in_another_order_each_round(world):
    result, both = make(OURS, PEER)
    samples = both.measure(2, THREE, lambda member: member.contender.name)
    assert samples == {OURS: ["ours", "ours"], PEER: ["peer", "peer"]} and not result.failures
    turns = [line for line in world.log if not line.endswith(("starts", "stops"))][2:]
    assert turns == [
        *("ours works", "ours sleeps", "peer works", "peer sleeps"),
        *("peer works", "peer sleeps", "ours works", "ours sleeps"),
    ]


def test_all_are_started_anew_every_few_rounds(world):
    _, both = make(OURS, PEER)
    assert len(both.measure(7, THREE, lambda member: 1)[OURS]) == 7
    assert world.log.count("ours starts") == 3


def test_one_that_fails_is_told_and_left_out_with_all_it_had(world):
    def sample(member):
        if member.contender is PEER and "peer sleeps" in world.log[5:]:
            raise BenchmarkError("wrong answer")
        return 1

    result, all_three = make(OURS, PEER, OTHER)
    assert all_three.measure(3, THREE, sample) == {OURS: [1, 1, 1], OTHER: [1, 1, 1]}
    assert result.failures == ["peer: wrong answer"]
    since = world.log[world.log.index("peer stops") :]
    assert "ours works" in since and "peer works" not in since


def test_a_peer_that_does_not_start_is_skipped_but_ours_has_failed(world):
    world.broken = {OURS, PEER}
    result, all_three = make(OURS, PEER, OTHER)
    assert all_three.measure(1, THREE, lambda member: 1) == {OTHER: [1]}
    assert result.failures == ["ours: it ended early"]
    assert result.notes == ["peer: skipped, it does not start here: it ended early"]


def test_what_is_not_installed_is_skipped_with_a_line(world):
    absent = Contender("absent", "absent.py", "no_such_package_at_all")
    result, alone = make(absent)
    assert alone.measure(1, THREE, lambda member: 1) == {}
    assert result.notes == ["absent: skipped, no_such_package_at_all is not installed"]


def test_afterwards_comes_once_for_each_that_is_left(world):
    _, both = make(OURS, PEER)
    after = []
    both.measure(4, THREE, lambda member: 1, lambda member: after.append(member.contender))
    assert after == [OURS, PEER]
