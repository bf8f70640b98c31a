"""Makes probabilities honest: fitted on validation rows, applied anywhere. numpy only."""

from __future__ import annotations

import numpy as np

from subjectwise.metrics import IntArray
from subjectwise.records import FloatArray


def apply_temperature(log_probs: FloatArray, temperature: float) -> FloatArray:
    """Probabilities [rows, labels], rows summing to 1, from log-probabilities divided by `temperature`."""
    scaled = log_probs / temperature
    scaled = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(scaled / scaled.sum(axis=1, keepdims=True))


def fit_temperature(log_probs: FloatArray, truth: IntArray) -> float:
    """The temperature, 0.05 to 20, of lowest validation NLL (Guo et al. 2017).

    NLL is convex in 1/temperature, so a golden-section search over it finds the minimum.
    """

    def loss(inverse: float) -> float:
        scaled = log_probs * inverse
        chosen = scaled[np.arange(len(truth)), truth]
        return float((np.logaddexp.reduce(scaled, axis=1) - chosen).mean())

    low, high = 1 / 20.0, 1 / 0.05
    golden = (np.sqrt(5) - 1) / 2
    while high - low > 1e-6:
        left, right = high - golden * (high - low), low + golden * (high - low)
        if loss(left) <= loss(right):
            high = right
        else:
            low = left
    return float(2 / (low + high))
