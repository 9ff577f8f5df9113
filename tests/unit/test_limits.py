"""Proves that `Limits` takes only what can be one, heeds the system's own, and that `Admission` counts."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import math
import pickle
from itertools import pairwise

import pytest

from reactor import limits as limits_module
from reactor.limits import SPARE_DESCRIPTORS, Admission, Limits

NAMES = [each.name for each in dataclasses.fields(Limits)]
WHOLE = [name for name in NAMES if not name.endswith("_timeout")]
TIMES = [name for name in NAMES if name.endswith("_timeout")]


class FakeResource:
    """The `resource` module of a system with this soft limit."""

    RLIMIT_NOFILE = 7
    RLIM_INFINITY = -1

    def __init__(self, soft):
        self.soft = soft

    def getrlimit(self, which):
        assert which == self.RLIMIT_NOFILE
        return self.soft, self.RLIM_INFINITY


def test_the_defaults_are_those_that_are_promised(monkeypatch):
    monkeypatch.setattr(limits_module, "resource", None)
    assert dataclasses.asdict(Limits()) == {
        "max_connections": 20_000,
        "max_connections_per_peer": None,
        "max_request_size": 1 << 20,
        "send_buffer_limit": 256 << 10,
        "request_timeout": 10,
        "idle_timeout": 300,
        "send_timeout": 30,
        "handshake_timeout": 10,
        "connect_timeout": 30,
        "drain_timeout": 10,
        "linger_timeout": 2,
    }


def test_all_of_them_are_shown_and_each_has_its_reason_beside_it():
    limits = Limits(max_connections=5, idle_timeout=None)
    assert all(f"{name}={getattr(limits, name)!r}" in str(limits) for name in NAMES)
    (body,) = (each.body for each in ast.parse(inspect.getsource(Limits)).body)
    following = {each.target.id: after for each, after in pairwise(body) if isinstance(each, ast.AnnAssign)}
    assert list(following) == NAMES
    for name, after in following.items():
        assert isinstance(after, ast.Expr) and len(after.value.value.split()) > 5, name


@pytest.mark.parametrize(
    ("soft", "connections"),
    [
        (1024, 1024 - SPARE_DESCRIPTORS),
        (20_064, 20_000),
        (20_063, 19_999),
        (1 << 20, 20_000),
        (FakeResource.RLIM_INFINITY, 20_000),
        (SPARE_DESCRIPTORS + 1, 1),
        (10, 1),
    ],
)
def test_max_connections_leaves_descriptors_for_everything_else(monkeypatch, soft, connections):
    monkeypatch.setattr(limits_module, "resource", FakeResource(soft))
    assert SPARE_DESCRIPTORS == 64
    assert Limits().max_connections == connections
    assert Limits(max_connections=50_000).max_connections == 50_000, "what is asked for is taken at its word"


@pytest.mark.parametrize("name", NAMES)
def test_none_turns_any_limit_off(name):
    assert getattr(Limits(**{name: None}), name) is None


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (0, ValueError),
        (-1, ValueError),
        ("10", TypeError),
        (b"1", TypeError),
        (True, TypeError),
        (False, TypeError),
        ([1], TypeError),
        (1j, TypeError),
        (math.nan, (TypeError, ValueError)),
    ],
)
def test_every_field_refuses_what_is_no_limit_and_is_named(name, value, kind):
    with pytest.raises(kind, match=rf"Limits\({name}="):
        Limits(**{name: value})


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("value", [1.0, 2.5, math.inf])
def test_sizes_and_counts_are_whole_numbers(name, value):
    with pytest.raises(TypeError, match=name):
        Limits(**{name: value})
    assert getattr(Limits(**{name: 3}), name) == 3


@pytest.mark.parametrize("name", TIMES)
def test_times_may_be_fractions_of_a_second(name):
    assert getattr(Limits(**{name: 0.25}), name) == 0.25


def test_a_limit_that_does_not_exist_is_refused_and_order_means_nothing():
    with pytest.raises(TypeError, match="max_conections"):
        Limits(max_conections=5)
    with pytest.raises(TypeError):
        Limits(100)


def test_limits_are_immutable_and_equal_by_value():
    limits = Limits(idle_timeout=5)
    for name in (*NAMES, "anything"):
        with pytest.raises((AttributeError, TypeError)):
            setattr(limits, name, 1)
    assert limits == Limits(idle_timeout=5) and hash(limits) == hash(Limits(idle_timeout=5))
    assert limits != Limits() and dataclasses.replace(limits, idle_timeout=300.0) == Limits()
    assert pickle.loads(pickle.dumps(limits)) == limits


@pytest.mark.parametrize("name", TIMES)
def test_the_shortest_timeout_is_that_of_all(name):
    assert Limits(**{name: 0.5}).shortest_timeout() == 0.5


def test_where_no_time_is_limited_the_shortest_is_infinite():
    assert Limits(**dict.fromkeys(TIMES)).shortest_timeout() == math.inf


# Admission


def test_connections_are_let_in_up_to_the_limit_and_again_when_one_leaves():
    admission = Admission(Limits(max_connections=2))
    for host in ("a", "b"):
        assert admission.refusal(host) is None
        admission.enter(host)
    assert admission.refusal("c") == "max_connections: 2 of 2"
    admission.leave("a")
    assert (admission.connections, admission.refusal("c")) == (1, None)


def test_each_host_is_counted_by_itself_and_one_without_a_host_not_at_all():
    admission = Admission(Limits(max_connections=None, max_connections_per_peer=2))
    for host in ("a", "a", "b", None, None, None):
        assert admission.refusal(host) is None
        admission.enter(host)
    assert admission.refusal("a") == "max_connections_per_peer: 2 of 2"
    assert (admission.refusal("b"), admission.refusal(None)) == (None, None)
    admission.leave("a")
    admission.leave(None)
    assert (admission.connections, admission.refusal("a")) == (4, None)


def test_hosts_that_have_left_take_no_memory():
    admission = Admission(Limits(max_connections_per_peer=5))
    for number in range(1000):
        admission.enter(f"host{number}")
        admission.leave(f"host{number}")
    assert (len(admission._per_host), admission.connections) == (0, 0)


def test_where_nothing_is_limited_nobody_is_refused():
    admission = Admission(Limits(max_connections=None))
    for _ in range(1000):
        assert admission.refusal("a") is None
        admission.enter("a")
