"""Medians, ratios, percentiles, marks: what a report is made of."""

import pytest
from harness.comparison import Sample, share_of_user
from harness.figures import Mark, Summary, merged, percentile, ratio
from harness.machine import quietness


def test_a_ratio_compares_round_by_round():
    # Both were ten times slower in the second round. The ratio of the medians would be 3.
    assert ratio([2, 20, 3], [1, 10, 1]) == Summary(2, 2, 3)


def test_a_ratio_needs_as_many_rounds_of_both():
    with pytest.raises(ValueError):
        ratio([1, 2], [1])


def test_histograms_are_merged():
    assert merged([[[10, 1], [30, 2]], [], [[20, 4], [30, 1]]]) == [(10, 1), (20, 4), (30, 3)]


@pytest.mark.parametrize(
    ("share", "value"), [(0, 10), (0.5, 10), (0.51, 20), (0.9, 20), (0.99, 20), (0.991, 99), (1, 99)]
)
def test_a_percentile_is_what_so_many_do_not_exceed(share, value):
    assert percentile([[10, 50], [20, 49], [99, 1]], share) == value


def test_nothing_has_no_percentiles():
    with pytest.raises(ValueError):
        percentile([], 0.5)


@pytest.mark.parametrize(
    ("sense", "wanted", "verdict"),
    [
        ("at least", 2.0, "PASS"),
        ("at least", 2.01, "SHORT"),
        ("at most", 2.0, "PASS"),
        ("at most", 1.99, "SHORT"),
    ],
)
def test_a_mark_is_judged_by_its_median(sense, wanted, verdict):
    assert Mark("m", sense, wanted, Summary.of([1.0, 2.0, 9.0])).verdict == verdict


def test_a_mark_without_a_figure_is_not_passed():
    assert Mark("m", "at most", 1.0, None).verdict == "NONE"


def test_the_share_of_user_mode_is_that_of_all_rounds():
    rounds = [Sample(1, 1, 1, user=0.3, system=0.0), Sample(1, 1, 1, user=0.0, system=0.1)]
    assert share_of_user(rounds) == pytest.approx(0.75)
    assert share_of_user([Sample(1, 1, 1, 0.0, 0.0)]) is None


def test_what_others_used_is_what_was_neither_idle_nor_ours():
    # user, nice, system, idle, iowait, irq, softirq, steal
    found = quietness([40, 0, 20, 120, 10, 1, 4, 5], ours=45, seconds=1)
    assert (found.others, found.stolen) == (pytest.approx(0.1), pytest.approx(0.025))
    assert "NOT quiet" in found.text()
    assert "was quiet" in quietness([50, 0, 0, 150, 0, 0, 0, 0], ours=50, seconds=1).text()
