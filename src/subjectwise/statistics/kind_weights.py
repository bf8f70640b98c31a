"""Weights by which every kind of rows counts the same, however many rows it has. numpy only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from subjectwise.types import FloatArray


def kind_weights(kinds: Sequence[object]) -> FloatArray:
    """Return a weight for each row, by which every kind counts the same; their mean is 1, [rows]."""
    counts = Counter(kinds)
    return np.array([len(kinds) / (len(counts) * counts[kind]) for kind in kinds])
