"""Abstaining, several labels and thresholds."""

import numpy as np
import pytest

from subjectwise.errors import DataError
from subjectwise.records import Decision, Question, Scored
from subjectwise.statistics.thresholds import (
    decide,
    entropy_band,
    find_threshold,
    find_thresholds,
    likely_labels,
    normalised_entropy,
)


def test_entropy_is_0_when_certain_and_1_when_uniform() -> None:
    entropy = normalised_entropy(np.array([[1.0, 0, 0, 0], [0.25] * 4, [0.5, 0.5, 0, 0]]))
    np.testing.assert_allclose(entropy, [0, 1, 0.5], atol=1e-12)
    assert entropy_band(np.array([0.0, 0.19, 0.2, 0.5, 0.79, 0.8, 1.0])).tolist() == [0, 0, 1, 2, 3, 4, 4]


def test_more_labels_at_a_higher_entropy() -> None:
    rows = np.array([[0.97, 0.01, 0.01, 0.01], [0.1, 0.4, 0.4, 0.1], [0.25] * 4])
    assert [likely.tolist() for likely in likely_labels(rows)] == [[0], [1, 2, 0, 3], [0, 1, 2, 3]]
    half = np.array([[0.0, 0.5, 0.0, 0.5]])
    assert [likely.tolist() for likely in likely_labels(half)] == [[1, 3, 0]]


def test_the_threshold_answers_as_much_as_the_target_allows() -> None:
    confidence = np.array([0.9, 0.8, 0.7, 0.6, 0.55])
    rows = np.stack([confidence, 1 - confidence], axis=1)
    truth = np.array([0, 0, 1, 0, 1])
    # Right: yes, yes, no, yes, no. Accuracy by rank: 1, 1, 2/3, 3/4, 3/5.
    assert find_threshold(rows, truth, 1.0) == pytest.approx(0.8)
    assert find_threshold(rows, truth, 0.75) == pytest.approx(0.6)
    assert find_threshold(rows, 1 - truth, 0.9) is None
    assert find_thresholds(rows, truth, (0.75, 0.99)) == {"0.75": pytest.approx(0.6), "0.99": pytest.approx(0.8)}


def test_rows_of_equal_confidence_are_answered_together() -> None:
    rows = np.tile([0.7, 0.3], (4, 1))
    assert find_threshold(rows, np.array([0, 0, 0, 1]), 0.9) is None
    assert find_threshold(rows, np.array([0, 0, 0, 1]), 0.75) == pytest.approx(0.7)


def test_decide() -> None:
    rows = np.array([[0.9, 0.05, 0.05], [0.4, 0.3, 0.3]])
    asked, labels = [Question("one"), Question("two")], ["a", "b", "c"]
    plain = decide(asked, Scored(rows), labels)
    assert [item.label for item in plain] == ["a", "a"]
    assert set(plain[0].to_dict()) == {"question", "label", "score", "scores", "label_mass"}
    sure, unsure = decide(
        asked, Scored(rows, np.array([1.0, 0.2])), labels, Decision(min_confidence=0.5, multi_label=True)
    )
    assert (sure.label, sure.best_label, sure.labels) == ("a", "a", ("a", "b"))
    assert (unsure.label, unsure.best_label, unsure.labels, unsure.label_mass) == ("abstain", "a", (), 0.2)
    assert unsure.entropy is not None and unsure.entropy > 0.9 and "labels" in unsure.to_dict()
    assert decide([], Scored(np.zeros((0, 3))), labels) == []


def test_bad_input() -> None:
    with pytest.raises(DataError, match="from 0 to 1"):
        Decision(min_confidence=1.5)
    with pytest.raises(DataError, match="'abstain' is one of the labels"):
        Decision(min_confidence=0.5).check_labels(["abstain", "physics"])
    Decision(multi_label=True).check_labels(["abstain", "physics"])
