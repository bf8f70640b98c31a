"""Temperature scaling and prior correction. Fit on validation data, apply anywhere. numpy only.

The temperature is always applied. Prior correction is for traffic whose mix of labels differs from that of the training
rows; it looks at many questions at once, so that an answer depends on the others.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from subjectwise.errors import DataError
from subjectwise.types import FloatArray, IntArray

PRIOR_CORRECTIONS = ("none", "batch", "match")

# With fewer validation rows the temperature is largely its prior's, and no threshold promises much: where 100 rows are
# all right, the error rate may still be 4 % (the upper bound of a 95 % interval).
ENOUGH_ROWS = 100

# Of the prior of the temperature, see `fit_temperature`.
LOG_TEMPERATURE_SD = 0.5


def apply_temperature(log_probs: FloatArray, temperature: float) -> FloatArray:
    """Return probabilities, [rows, labels], rows summing to 1, from log-probabilities divided by `temperature`."""
    scaled = log_probs / temperature
    scaled = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(scaled / scaled.sum(axis=1, keepdims=True))


def fit_temperature(log_probs: FloatArray, truth: IntArray, weights: FloatArray | None = None) -> float:
    """Return the most probable temperature, 0.05 to 20, given validation rows (Guo et al. 2017) and a prior.

    Few rows that are all right are separable: the lower the temperature, the lower their NLL, down to any bound. A
    weakly informative prior stops that, as for logistic regression (Gelman et al. 2008, Annals of Applied Statistics
    2): the log-temperature is normal around 0 with a standard deviation of 0.5, so that 95 % of temperatures lie
    between 0.38 and 2.7. It weighs as much as a few rows: 12 right answers of a model that says 0.60 make it say 0.92,
    and 400 make it say 0.998. `benchmarks/coverage.py` prints what it gains on few rows and costs on many.

    Args:
        log_probs: [rows, labels], or other scores that a temperature turns into probabilities.
        truth: the index of each row's label, [rows].
        weights: of the rows, [rows], of mean 1; None for 1 each.
    """

    def loss(log_temperature: float) -> float:
        scaled = log_probs / np.exp(log_temperature)
        chosen = scaled[np.arange(len(truth)), truth]
        losses = np.logaddexp.reduce(scaled, axis=1) - chosen
        nll = float(losses.sum() if weights is None else (weights * losses).sum())
        return nll + float(log_temperature**2) / (2 * LOG_TEMPERATURE_SD**2)

    # 1) The best of a grid, 2) and a golden-section search between its neighbours.
    grid = np.linspace(np.log(0.05), np.log(20.0), 31)
    best = int(np.argmin([loss(point) for point in grid]))
    low, high = grid[max(0, best - 1)], grid[min(len(grid) - 1, best + 1)]
    golden = (np.sqrt(5) - 1) / 2
    while high - low > 1e-5:
        left, right = high - golden * (high - low), low + golden * (high - low)
        if loss(left) <= loss(right):
            high = right
        else:
            low = left
    return float(np.exp((low + high) / 2))


def remove_temperature(probabilities: FloatArray, temperature: float) -> FloatArray:
    """Return the probabilities as they were before `apply_temperature`."""
    return apply_temperature(np.log(np.maximum(probabilities, 1e-300)), 1 / temperature)


def check_prior_correction(how: str, rows: int) -> None:
    """Raise DataError for an unknown prior correction, or for one of a single row, whose mix of labels is unknown.

    Args:
        how: one of `PRIOR_CORRECTIONS`.
        rows: how many rows it would look at.
    """
    if how not in PRIOR_CORRECTIONS:
        raise DataError(f"Unknown prior correction {how!r}; choose one of {', '.join(PRIOR_CORRECTIONS)}.")
    if how != "none" and rows == 1:
        raise DataError(
            "Cannot correct the prior of a single question: it has no mix of labels. Give several questions, or "
            "leave the prior correction out."
        )


def correct_prior(probabilities: FloatArray, how: str, trained: Sequence[float] | None) -> FloatArray:
    """Apply one of `PRIOR_CORRECTIONS` by name.

    Args:
        probabilities: [rows, labels].
        how: one of `PRIOR_CORRECTIONS`.
        trained: the share of each label among the training rows, which `match` needs.

    Raises:
        DataError: an unknown name, or `match` where the shares of the training rows were not kept.
    """
    check_prior_correction(how, len(probabilities))
    if how == "none" or not len(probabilities):
        return probabilities
    if how == "batch":
        return batch_calibration(probabilities)
    if not trained:
        raise DataError(
            "Cannot match the prior: this model lacks the shares of its training labels. Run 'subjectwise calibrate', "
            "or use batch."
        )
    return match_prior(probabilities, np.asarray(trained))


def batch_calibration(probabilities: FloatArray) -> FloatArray:
    """Divide by the mean over the rows and normalise: Batch Calibration (Zhou et al., arXiv 2309.17249).

    It treats what the rows have in common as a bias of the prompt, and so pulls the answers towards every label being
    equally frequent. [rows, labels] to [rows, labels].
    """
    return _reweighted(probabilities, 1 / np.maximum(probabilities.mean(axis=0), 1e-12))


def match_prior(probabilities: FloatArray, trained: FloatArray, iterations: int = 100) -> FloatArray:
    """Estimate the shares of the labels among the rows by EM, and correct for them (Saerens et al. 2002).

    Args:
        probabilities: calibrated on rows where the labels have the shares `trained`, [rows, labels].
        trained: the share of each label there, [labels].
        iterations: at most.
    """
    prior = trained
    for _ in range(iterations):
        adapted = _reweighted(probabilities, prior / np.maximum(trained, 1e-12))
        updated = adapted.mean(axis=0)
        if np.abs(updated - prior).max() < 1e-6:
            break
        prior = updated
    return adapted


def _reweighted(probabilities: FloatArray, weights: FloatArray) -> FloatArray:
    weighted = probabilities * weights
    return np.asarray(weighted / weighted.sum(axis=1, keepdims=True))
