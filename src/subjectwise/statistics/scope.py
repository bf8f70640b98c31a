"""Whether a request belongs to any label: calibrated log-odds, and the threshold below which few questions are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from subjectwise.types import BoolArray, FloatArray

# The share of questions that the threshold may take for requests of no label. Kinds of rows weigh the same, so that the
# few rows that look like such requests decide it: of all rows together it takes less.
LOST_QUESTIONS = 0.02


@dataclass(frozen=True)
class ScopeCalibration:
    """How the log-odds of any label against none become `in_scope`.

    Attributes:
        slope, intercept: the probability is the logistic function of `slope` · log-odds + `intercept`.
        threshold: below this probability are few questions of the validation rows; 0 to 1.
    """

    slope: float = 1.0
    intercept: float = 0.0
    threshold: float = 0.5

    def apply(self, log_odds: FloatArray) -> FloatArray:
        """Return the probability that a request belongs to any label, [questions], 0 to 1."""
        with np.errstate(over="ignore"):
            return np.asarray(1 / (1 + np.exp(-(self.slope * log_odds + self.intercept))))


def fit_scope(log_odds: FloatArray, in_scope: BoolArray, weights: FloatArray) -> ScopeCalibration:
    """Fit slope and intercept (Platt 1999), as if half of the requests belonged to a label, and the threshold.

    The targets are Platt's, slightly within 0 and 1, so that rows that are separable have finite log-odds.

    Args:
        log_odds: of any label against none, [rows].
        in_scope: whether each row belongs to a label, [rows]; at least one does and one does not.
        weights: of the rows, [rows]; they are scaled to the same sum on both sides.
    """
    sides = [in_scope, ~in_scope]
    balanced = np.zeros(len(log_odds))
    for side in sides:
        balanced[side] = weights[side] / weights[side].sum() * side.size / 2
    targets = np.where(in_scope, (in_scope.sum() + 1) / (in_scope.sum() + 2), 1 / ((~in_scope).sum() + 2))
    slope, intercept = _newton(log_odds, targets, balanced)
    calibration = ScopeCalibration(slope, intercept)
    probabilities = calibration.apply(log_odds[in_scope])
    return ScopeCalibration(slope, intercept, weighted_quantile(probabilities, weights[in_scope], LOST_QUESTIONS))


def weighted_quantile(values: FloatArray, weights: FloatArray, share: float) -> float:
    """Return the highest of `values` below which at most `share` of the weights lie."""
    order = np.argsort(values, kind="stable")
    below = np.cumsum(weights[order]) - weights[order]
    kept = below <= share * weights.sum()
    return float(values[order][kept][-1])


def _newton(log_odds: FloatArray, targets: FloatArray, weights: FloatArray) -> tuple[float, float]:
    """Return slope and intercept of lowest weighted cross-entropy, by damped Newton steps (Lin et al. 2007)."""
    features = np.stack([log_odds, np.ones_like(log_odds)], axis=1)
    fit = np.array([0.0, 0.0])

    def loss(values: FloatArray) -> float:
        logits = features @ values
        return float((weights * (np.logaddexp(0, logits) - targets * logits)).sum())

    for _ in range(100):
        shares = 1 / (1 + np.exp(-np.clip(features @ fit, -500, 500)))
        gradient = features.T @ (weights * (shares - targets))
        curvature = (features * (weights * shares * (1 - shares))[:, None]).T @ features + 1e-10 * np.eye(2)
        step, size = np.linalg.solve(curvature, gradient), 1.0
        while size > 1e-8 and loss(fit - size * step) > loss(fit) - 1e-4 * size * float(gradient @ step):
            size /= 2
        fit = fit - size * step
        if float(np.abs(size * step).max()) < 1e-8:
            break
    return float(fit[0]), float(fit[1])
