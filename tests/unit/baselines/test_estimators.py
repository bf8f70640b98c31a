"""Estimators learn, and score rows that they have not seen."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.baselines import LABELS, labelled_rows
from subjectwise.baselines.baseline import estimator_inputs, label_indices
from subjectwise.baselines.estimators import check_kind, fit_estimator, out_of_fold_scores, raw_scores
from subjectwise.errors import DataError
from subjectwise.labels import LabelSet
from subjectwise.records import Example, Question

ROWS = labelled_rows()
TRUTH = label_indices(ROWS, LABELS)
TEXTS = estimator_inputs([row.question for row in ROWS], None)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(DataError, match=r"Unknown baseline 'svm'; choose one of majority, tfidf-svm, minilm-lr"):
        check_kind("svm")


def test_the_margins_of_two_labels_are_two_columns() -> None:
    two = TRUTH < 2
    estimator = fit_estimator("tfidf-svm", TEXTS[two], TRUTH[two], seed=0)
    scores = raw_scores(estimator, TEXTS[two])
    assert scores.shape == (two.sum(), 2)
    np.testing.assert_array_equal(scores[:, 0], -scores[:, 1])
    np.testing.assert_array_equal(scores.argmax(axis=1), TRUTH[two])


def test_rows_are_scored_by_estimators_that_have_not_seen_them() -> None:
    groups = np.arange(len(ROWS))
    scores = out_of_fold_scores("tfidf-svm", TEXTS, TRUTH, groups, LABELS, seed=0)
    seen = raw_scores(fit_estimator("tfidf-svm", TEXTS, TRUTH, seed=0), TEXTS)
    assert scores.shape == seen.shape == (len(ROWS), len(LABELS))
    own = np.arange(len(ROWS)), TRUTH
    assert np.mean(scores[own] < seen[own]) > 0.95, "an estimator is surer of the rows that it was fitted on"


def test_too_few_different_questions_for_the_folds_are_refused() -> None:
    labels = LabelSet(("biology", "law"))
    rows = labelled_rows(["biology"]) + labelled_rows(["law"])[:3]
    inputs = estimator_inputs([row.question for row in rows], None)
    with pytest.raises(DataError, match="'law' has too few different questions for 5 folds"):
        out_of_fold_scores("tfidf-svm", inputs, label_indices(rows, labels), np.arange(len(rows)), labels, seed=0)


def test_questions_without_words_are_refused() -> None:
    marks = [Example(str(i), Question("???" + "!" * i), "ab"[i % 2]) for i in range(4)]
    inputs = estimator_inputs([row.question for row in marks], None)
    with pytest.raises(DataError, match="Cannot fit: the questions have no words"):
        fit_estimator("tfidf-svm", inputs, label_indices(marks, LabelSet(("a", "b"))), seed=0)
