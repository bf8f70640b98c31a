"""When a fast model answers alone, and how two models are combined."""

from __future__ import annotations

import numpy as np
import pytest

from subjectwise.errors import DataError
from subjectwise.statistics.cascade import Pooling, check_loss, find_min_confidence, fit_pooling, nll
from subjectwise.types import FloatArray, IntArray


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


def test_the_least_confidence_is_where_the_allowed_loss_is_spent() -> None:
    confidence = np.array([0.9, 0.8, 0.7, 0.6, 0.5, -1.0])
    fast_right = np.array([True, True, False, True, False, True])
    slow_right = np.array([True, True, True, False, True, False])
    weights = np.ones(6)
    # Lost at 0.7, gained back at 0.6, lost again at 0.5; the last row may not be answered at all.
    assert find_min_confidence(confidence, fast_right, slow_right, 0.0, weights) == 0.6
    assert find_min_confidence(confidence, fast_right, slow_right, 1 / 6 + 1e-9, weights) == 0.5
    assert find_min_confidence(confidence, ~slow_right, slow_right, 0.0, weights) is None
    assert find_min_confidence(np.full(6, -1.0), fast_right, slow_right, 1.0, weights) is None


def test_rows_of_equal_confidence_are_answered_together() -> None:
    confidence = np.array([0.9, 0.8, 0.8])
    right = np.array([True, True, False])
    assert find_min_confidence(confidence, right, np.ones(3, dtype=np.bool_), 0.0, np.ones(3)) == 0.9


def test_an_unknown_loss_is_refused() -> None:
    with pytest.raises(DataError, match="Unknown loss of accuracy '2'; choose one of 0, 1"):
        check_loss("2")
