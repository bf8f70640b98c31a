"""Intervals of shares and of means."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from subjectwise.statistics.intervals import Interval, mean_interval, proportion_interval


@pytest.mark.parametrize("rows", [1, 5, 20, 126, 1000])
def test_a_share_is_covered_at_least_95_times_in_100(rows: int) -> None:
    hits = np.arange(rows + 1)
    intervals = [proportion_interval(int(count), rows) for count in hits]
    low, high = (np.array([getattr(each, end) for each in intervals]) for end in ("low", "high"))
    for share in np.linspace(0.002, 0.998, 250):
        assert binom.pmf(hits, rows, share)[(low <= share) & (share <= high)].sum() >= 0.95 - 1e-9


def test_a_share_agrees_with_scipy() -> None:
    interval = proportion_interval(81, 263)
    expected = binomtest(81, 263).proportion_ci(method="exact")
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))
    # Newcombe (1998), Statistics in Medicine 17, table I, method 5.
    assert (round(interval.low, 4), round(interval.high, 4)) == (0.2527, 0.3676)
    nothing = proportion_interval(0, 0)
    assert np.isnan(nothing.value) and (nothing.low, nothing.high) == (0.0, 1.0)


def test_a_mean_of_skewed_values_is_covered() -> None:
    """Losses of a good model: most are small, a few are large. A percentile bootstrap covers 90 of 100 here."""
    generator = np.random.default_rng(0)
    losses = generator.gamma(0.3, 1.0, 50_000)
    covered = 0
    for _ in range(300):
        interval = mean_interval(generator.choice(losses, 100), 0.0, 35.0, resamples=400)
        covered += interval.low <= losses.mean() <= interval.high
    assert covered >= 0.92 * 300


def test_a_mean_stays_within_its_bounds() -> None:
    values = np.array([0.0] * 19 + [30.0])
    interval = mean_interval(values, 0.0, 35.0)
    assert interval.value == 1.5 and 0 <= interval.low < 1.5 < interval.high <= 35
    assert mean_interval(values, 0.0, 35.0) == interval
    assert mean_interval(np.array([0.4]), 0.0, 2.0) == Interval(0.4, 0.0, 2.0)
    assert mean_interval(np.full(9, 0.5), 0.0, 2.0) == Interval(0.5, 0.5, 0.5)
