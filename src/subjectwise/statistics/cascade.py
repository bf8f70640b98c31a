"""A fast model before a slower one: when it answers alone, and how both are combined where it does not. numpy only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from subjectwise.errors import DataError
from subjectwise.statistics.calibration import apply_temperature, fit_temperature
from subjectwise.types import BoolArray, FloatArray, IntArray

# Points of accuracy that the fast model may cost on the validation rows, by the name of the promise.
LOSSES: Mapping[str, float] = {"0": 0.0, "1": 1.0}

# The pair whose slow model answers every question.
NEVER = "never"

_WEIGHTS = tuple(np.arange(0, 1.01, 0.05).round(2).tolist())
# An improvement of the NLL, in nats, that is worth a second model's opinion.
_WORTH = 0.002


@dataclass(frozen=True)
class Pooling:
    """How the probabilities of both models are combined: p ∝ (slow · fast ** weight) ** (1 / temperature).

    This is logarithmic pooling (Genest and Zidek 1986); both are calibrated before.

    Attributes:
        weight: of the fast model; 0 leaves the slow one as it is.
        temperature: of the product.
    """

    weight: float = 0.0
    temperature: float = 1.0

    def combine(self, slow: FloatArray, fast: FloatArray) -> FloatArray:
        """Return combined probabilities, [rows, labels], of those of both models."""
        return apply_temperature(log_probs(slow) + self.weight * log_probs(fast), self.temperature)


@dataclass(frozen=True)
class Promise:
    """When the fast model answers alone, and what is then true of the answers of the pair.

    Attributes:
        min_confidence: the least confidence of the fast model that is enough; None where none is.
        share: of the validation rows, how many it then answers, every kind weighing the same.
        thresholds: the confidence for a wanted accuracy of the pair, as in `find_thresholds`.
    """

    min_confidence: float | None = None
    share: float = 0.0
    thresholds: Mapping[str, float] = field(default_factory=dict)


def check_loss(loss: str) -> None:
    """Raise DataError for an unknown promise."""
    if loss not in LOSSES:
        raise DataError(f"Unknown loss of accuracy {loss!r}; choose one of {', '.join(LOSSES)} (points).")


def log_probs(probabilities: FloatArray) -> FloatArray:
    """Return log-probabilities, finite also where a probability is 0."""
    return np.asarray(np.log(np.maximum(probabilities, 1e-30)))


def fit_pooling(slow: FloatArray, fast: FloatArray, truth: IntArray, weights: FloatArray) -> Pooling:
    """Return the pooling of lowest NLL; one without the fast model where it gains next to nothing.

    Args:
        slow: calibrated probabilities, [rows, labels].
        fast: the same of the fast model.
        truth: the index of each row's label, [rows].
        weights: of the rows, [rows], of mean 1.
    """
    best, best_nll = Pooling(), nll(slow, truth, weights) - _WORTH
    for weight in _WEIGHTS[1:]:
        pooling = Pooling(weight, fit_temperature(log_probs(slow) + weight * log_probs(fast), truth, weights))
        loss = nll(pooling.combine(slow, fast), truth, weights)
        if loss < best_nll:
            best, best_nll = pooling, loss
    return best


def nll(probabilities: FloatArray, truth: IntArray, weights: FloatArray) -> float:
    """Return the weighted mean NLL."""
    return float(np.average(-log_probs(probabilities)[np.arange(len(truth)), truth], weights=weights))


def find_min_confidence(
    confidence: FloatArray,
    fast_right: BoolArray,
    slow_right: BoolArray,
    pooled_right: BoolArray,
    allowed: float,
    weights: FloatArray,
) -> float | None:
    """Return the least confidence that is enough for an answer of the fast model alone; None where none is.

    Without a loss it is the one below which the slow model alone is more often right than the fast one: there the
    accuracy gained so far is greatest. With a loss it is the lowest at which the pair is at most so much less accurate
    than the slow model alone.

    Args:
        confidence: of the fast model, [rows]; below 0 where it may not answer.
        fast_right: whether its answer is right, [rows].
        slow_right: whether the answer of the slow model is, [rows].
        pooled_right: whether the combined answer is, [rows].
        allowed: share of all rows, 0 to 1.
        weights: of the rows, [rows].
    """
    order = np.argsort(-confidence, kind="stable")
    order = order[confidence[order] >= 0]
    # Rows of equal confidence are answered together.
    ends = np.flatnonzero(np.diff(confidence[order], append=-np.inf))
    if not ends.size:
        return None
    shares = weights / weights.sum()

    def gained(better: BoolArray, worse: BoolArray) -> FloatArray:
        return np.asarray(np.cumsum((shares * (better.astype(np.float64) - worse))[order])[ends])

    alone = gained(fast_right, slow_right)
    if not allowed:
        best = len(alone) - 1 - int(np.argmax(alone[::-1]))  # the last of equals
        return float(confidence[order][ends[best]]) if alone[best] >= 0 else None
    pooled = float((shares * (pooled_right.astype(np.float64) - slow_right)).sum())
    kept = np.flatnonzero(pooled + gained(fast_right, pooled_right) >= -allowed)
    return float(confidence[order][ends[kept[-1]]]) if kept.size else None
