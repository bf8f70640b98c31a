"""What validation rows measure: every kind counts the same, and a request of no label has no label."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from helpers.training import CPU
from subjectwise.models.model_folder import load_model
from subjectwise.training.validation import (
    ValidationScores,
    join_scores,
    measure_epoch,
    score_examples,
)


def scores_of(
    certainty: list[float], kinds: list[str], truth: list[int], in_scope: list[float] | None = None
) -> ValidationScores:
    """Rows whose first label has the log-odds `certainty`."""
    odds = np.array(certainty)
    log_probs = np.stack([-np.logaddexp(0, -odds), -np.logaddexp(0, odds)], axis=1)
    fair = np.eye(2, dtype=bool)[truth]
    return ValidationScores(
        log_probs, None if in_scope is None else np.array(in_scope), np.array(truth), fair, tuple(kinds)
    )


def test_no_rows_have_scores_of_the_right_shape(tiny_model: Path) -> None:
    scores = score_examples(load_model(tiny_model, compute=CPU).scorer, [], False, progress=False)
    assert scores.log_probs.shape == (0, 4) and scores.truth.dtype == np.int64 and scores.truth.shape == (0,)
    assert scores.in_scope is None and scores.weights.shape == (0,)


def test_every_kind_counts_the_same() -> None:
    scores = scores_of([2.0, 2.0, 2.0, -2.0], ["a", "a", "a", "b"], [0, 0, 0, 0])
    np.testing.assert_allclose(scores.weights, [2 / 3, 2 / 3, 2 / 3, 2])
    assert measure_epoch(scores)["accuracy"] == pytest.approx(0.5)


def test_rows_of_no_kind_have_the_weight_one() -> None:
    scores = scores_of([2.0, 2.0, -2.0], ["", "", ""], [0, 0, 0])
    assert list(scores.weights) == [1, 1, 1] and measure_epoch(scores)["accuracy"] == pytest.approx(2 / 3)


def test_requests_of_no_label_count_by_the_answer_for_them_alone() -> None:
    known = scores_of([3.0, -3.0], ["a", "a"], [0, 1], [4.0, 4.0])
    # The row of no label has another best label, which nothing looks at.
    for out, better in ((-4.0, True), (4.0, False)):
        parts = [known, scores_of([9.0], ["none"], [-1], [out])]
        measured = measure_epoch(join_scores(parts))
        assert measured["accuracy"] == 1 and (measured["nll"] < 0.2) == better
    assert join_scores(parts).kinds == ("a", "a", "none")
    assert join_scores(parts).labelled().kinds == ("a", "a")
