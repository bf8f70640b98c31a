"""Fitting a fast model: scikit-learn's own scores within the rounding, calibration, two labels."""

from __future__ import annotations

import numpy as np

from helpers.fast_models import SMALL, SMALL_TALK, examples, tiny_fast_model
from subjectwise.labels import LabelSet
from subjectwise.models.fast_model import feature_values
from subjectwise.records import Example, Question
from subjectwise.statistics.calibration import apply_temperature
from subjectwise.statistics.fair_labels import class_indices
from subjectwise.text.hashed_features import count_features
from subjectwise.training.fit_fast_model import fit_fast_model


def test_the_scores_are_scikit_learns_within_the_rounding() -> None:
    from sklearn.svm import LinearSVC

    rows = examples()
    labels = LabelSet.from_names(row.label for row in rows if row.label != "none")
    texts = [row.question.text for row in rows]
    model = fit_fast_model(rows, labels, SMALL)
    features = count_features(texts, SMALL.features)
    dense = np.zeros((len(texts), SMALL.features.size))
    dense[features.row, features.bucket] = feature_values(features, model.weights.idf, SMALL.features)
    words = dense[:, : SMALL.features.word_buckets]
    np.testing.assert_allclose(np.linalg.norm(words, axis=1), 1, rtol=1e-5)
    exact = LinearSVC(C=SMALL.C, random_state=SMALL.seed).fit(dense, class_indices(rows, labels, none=len(labels)))
    scores, known = model.scores(texts)
    np.testing.assert_allclose(scores, exact.decision_function(dense), atol=0.02)
    assert known.min() == 1


def test_calibrated_probabilities_are_as_often_right_as_they_say() -> None:
    model = tiny_fast_model()
    rows = examples()[1::2]
    truth = class_indices(rows, model.labels, none=len(model.labels))
    probabilities = apply_temperature(model.scores([row.question.text for row in rows])[0], model.config.temperature)
    right = probabilities.argmax(axis=1) == truth
    assert abs(probabilities.max(axis=1).mean() - right.mean()) < 0.15
    assert model.config.scope is not None and model.config.scope.threshold > model.answer(SMALL_TALK).in_scope.mean()


def test_two_labels_have_a_column_each() -> None:
    rows = [row for row in examples() if row.label in ("law", "physics")]
    model = fit_fast_model(rows, LabelSet(("law", "physics")), SMALL)
    best = model.answer([row.question.text for row in rows]).probabilities.argmax(axis=1)
    assert [("law", "physics")[index] for index in best] == [row.label for row in rows]
    assert model.config.scope is None and (model.answer(["a court"]).in_scope == 1).all()


def test_a_label_may_be_called_none() -> None:
    rows = [Example(str(i), Question(text), label) for i, (text, label) in enumerate(
        [("hello there", "none"), ("the court", "law"), ("good morning", "none"), ("a statute", "law")])]  # fmt: skip
    model = fit_fast_model(rows, LabelSet(("law", "none")), SMALL)
    assert model.config.scope is None and model.answer(["hello there"]).probabilities[0].argmax() == 1


def test_the_same_rows_give_the_same_model() -> None:
    first, second = (tiny_fast_model(examples()).weights for _ in range(2))
    np.testing.assert_array_equal(first.weights, second.weights)
    np.testing.assert_array_equal(first.vocabulary, second.vocabulary)
