from __future__ import annotations

import numpy as np

from subjectwise.statistics.kind_weights import kind_weights


def test_every_kind_counts_the_same() -> None:
    weights = kind_weights(["exam", "chat", "exam", "exam"])
    np.testing.assert_allclose(weights, [2 / 3, 2, 2 / 3, 2 / 3])
    np.testing.assert_array_equal(kind_weights(["", "", ""]), [1, 1, 1])
    assert kind_weights([]).shape == (0,)
