"""When a fast model answers alone, and how two models are combined."""

from __future__ import annotations

import numpy as np
import pytest

from subjectwise.errors import DataError
from subjectwise.statistics.cascade import Pooling, check_loss, find_min_confidence, fit_pooling, nll
from subjectwise.types import BoolArray, FloatArray, IntArray


def noisy(truth: IntArray, strength: float, generator: np.random.Generator) -> FloatArray:
    """Return calibrated probabilities of three labels, from one independent noisy look at the truth."""
    logits = strength * np.eye(3)[truth] + generator.normal(size=(len(truth), 3)) * np.sqrt(strength)
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))


def test_two_independent_opinions_are_better_than_one() -> None:
    generator = np.random.default_rng(0)
    truth, weights = generator.integers(3, size=4000), np.ones(4000)
    slow, fast = noisy(truth, 3.0, generator), noisy(truth, 2.0, generator)
    pooling = fit_pooling(slow, fast, truth, weights)
    combined = pooling.combine(slow, fast)
    assert pooling.weight > 0.7 and nll(combined, truth, weights) < nll(slow, truth, weights) - 0.1
    np.testing.assert_allclose(combined.sum(axis=1), 1)
    assert np.mean(combined.argmax(axis=1) == truth) > np.mean(slow.argmax(axis=1) == truth) + 0.03


def test_an_opinion_that_knows_nothing_has_no_weight() -> None:
    generator = np.random.default_rng(0)
    truth = generator.integers(3, size=2000)
    slow, guess = noisy(truth, 3.0, generator), noisy(generator.integers(3, size=2000), 2.0, generator)
    pooling = fit_pooling(slow, guess, truth, np.ones(2000))
    assert pooling == Pooling()
    np.testing.assert_allclose(pooling.combine(slow, guess), slow)


def test_a_probability_of_zero_stays_finite() -> None:
    certain = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert np.isfinite(Pooling(1.0, 0.5).combine(certain, certain[::-1])).all()


CONFIDENCE = np.array([0.9, 0.8, 0.7, 0.6, 0.5, -1.0])
FAST_RIGHT = np.array([True, True, False, True, False, True])
SLOW_RIGHT = np.array([True, False, True, False, True, False])


def least(allowed: float, fast: BoolArray = FAST_RIGHT, pooled: BoolArray = SLOW_RIGHT) -> float | None:
    return find_min_confidence(CONFIDENCE, fast, SLOW_RIGHT, pooled, allowed, np.ones(6))


def test_without_a_loss_the_gain_is_greatest() -> None:
    """One right answer more at 0.8, lost again at 0.7, gained at 0.6; the last row may not be answered at all."""
    assert least(0.0) == 0.6
    assert least(0.0, fast=~FAST_RIGHT) is None


def test_a_loss_may_be_spent_and_what_is_pooled_pays_for_it() -> None:
    wrong = np.zeros(6, dtype=np.bool_)
    assert least(1 / 6, wrong) == 0.8 and least(2 / 6, wrong) == 0.6 and least(0.01, wrong) is None
    # Combined answers that are right where the slow model is not allow for more.
    assert least(1 / 6, wrong, pooled=np.ones(6, dtype=np.bool_)) == 0.6


def test_rows_of_equal_confidence_are_answered_together() -> None:
    confidence, slow = np.array([0.9, 0.8, 0.8]), np.array([False, False, True])
    fast, weights = np.array([True, True, False]), np.array([1.0, 1.0, 3.0])
    assert find_min_confidence(confidence, fast, slow, slow, 0.0, weights) == 0.9
    nothing = np.full(3, -1.0)
    assert find_min_confidence(nothing, fast, slow, slow, 1.0, weights) is None


def test_an_unknown_loss_is_refused() -> None:
    with pytest.raises(DataError, match="Unknown loss of accuracy '2'; choose one of 0, 1"):
        check_loss("2")
