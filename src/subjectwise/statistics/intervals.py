"""95 % intervals of shares and of means. numpy, and SciPy's beta distribution; knows no models and no files."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from subjectwise.types import FloatArray
from subjectwise.utils.optional_dependencies import require

# The two-sided 95 % point of the normal distribution.
Z = 1.959963984540054

RESAMPLES = 1000

# Values that a bootstrap draws at once, for speed in little memory.
_BLOCK = 1_000_000


@dataclass(frozen=True)
class Interval:
    """A metric and the two ends of its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class PointEstimate:
    """A metric without an interval."""

    value: float


Metric = Interval | PointEstimate


def exact_ends(hits: FloatArray, rows: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the ends of the exact intervals of shares (Clopper and Pearson 1934), [shares]; `rows` is at least 1."""
    beta = require("scipy.stats", "evaluate").beta

    low = np.where(hits > 0, beta.ppf(0.025, np.maximum(hits, 1), rows - hits + 1), 0.0)
    high = np.where(hits < rows, beta.ppf(0.975, hits + 1, np.maximum(rows - hits, 1)), 1.0)
    return low, high


def proportion_interval(hits: int, rows: int) -> Interval:
    """Return a share with its exact interval (Clopper and Pearson 1934), which covers at least 95 times in 100.

    Wilson's is narrower, and covers as rarely as 84 times in 100 near 0 and 1. Without rows the share is not a number.
    """
    if not rows:
        return Interval(float("nan"), 0.0, 1.0)
    low, high = exact_ends(np.array([float(hits)]), np.array([float(rows)]))
    return Interval(hits / rows, float(low[0]), float(high[0]))


def mean_interval(
    values: FloatArray, lowest: float, highest: float, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Return a mean with its interval by the bootstrap-t (Efron 1982), which allows for skewed values.

    Args:
        values: one per row, [rows].
        lowest: what a mean cannot be below.
        highest: what it cannot be above.
        resamples: of the bootstrap.
        seed: of the bootstrap.
    """
    mean, rows = float(values.mean()), len(values)
    if rows < 2:
        return Interval(mean, lowest, highest)
    spread = float(values.std())
    # A resample that lacks the few large values of a small sample has hardly any spread: without a floor the interval
    # would be boundless.
    least = max(0.1 * spread, 1e-12)
    generator = np.random.default_rng(seed)
    deviations = np.empty(resamples)
    block = max(1, _BLOCK // rows)
    for start in range(0, resamples, block):
        count = min(block, resamples - start)
        drawn = values[generator.integers(0, rows, (count, rows))]  # [resamples of the block, rows]
        deviations[start : start + count] = (drawn.mean(axis=1) - mean) / np.maximum(drawn.std(axis=1), least)
    low, high = np.percentile(deviations, [2.5, 97.5])
    return Interval(mean, max(lowest, mean - spread * float(high)), min(highest, mean - spread * float(low)))
