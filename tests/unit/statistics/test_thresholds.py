"""Abstaining, several labels and thresholds."""

from collections.abc import Callable

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
from subjectwise.types import FloatArray


def test_entropy_is_0_when_certain_and_1_when_uniform() -> None:
    entropy = normalised_entropy(np.array([[1.0, 0, 0, 0], [0.25] * 4, [0.5, 0.5, 0, 0]]))
    np.testing.assert_allclose(entropy, [0, 1, 0.5], atol=1e-12)
    assert entropy_band(np.array([0.0, 0.19, 0.2, 0.5, 0.79, 0.8, 1.0])).tolist() == [0, 0, 1, 2, 3, 4, 4]


def test_more_labels_at_a_higher_entropy() -> None:
    rows = np.array([[0.97, 0.01, 0.01, 0.01], [0.1, 0.4, 0.4, 0.1], [0.25] * 4])
    assert [likely.tolist() for likely in likely_labels(rows)] == [[0], [1, 2, 0, 3], [0, 1, 2, 3]]
    half = np.array([[0.0, 0.5, 0.0, 0.5]])
    assert [likely.tolist() for likely in likely_labels(half)] == [[1, 3, 0]]


def kept_promises(
    accuracy_of: Callable[[FloatArray], FloatArray], target: float, rows: int, draws: int
) -> tuple[float, float]:
    """Return the shares of validation sets after which the promise is kept or not made, and that make one."""
    generator = np.random.default_rng(0)
    confidence = np.maximum(generator.beta(8, 1, 100_000), 0.2)
    correct = generator.random(100_000) < accuracy_of(confidence)
    order = np.argsort(-confidence)
    accuracy = np.cumsum(correct[order]) / np.arange(1, 100_001)
    kept = made = 0
    for _ in range(draws):
        chosen = generator.integers(0, 100_000, rows)
        threshold = find_threshold(confidence[chosen], correct[chosen], target)
        if threshold is None:
            kept += 1
        else:
            made += 1
            kept += bool(accuracy[int((confidence >= threshold).sum()) - 1] >= target)
    return kept / draws, made / draws


MODELS: dict[str, Callable[[FloatArray], FloatArray]] = {
    "calibrated": lambda confidence: confidence,
    "too sure": lambda confidence: confidence**1.5,
    "too modest": lambda confidence: confidence**0.5,
    # The most confident answers are not the best ones.
    "confident errors": lambda confidence: np.where(confidence > 0.97, 0.93, np.minimum(1.0, confidence * 1.05)),
}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("target", [0.9, 0.95])
def test_a_threshold_keeps_its_promise(model: str, target: float) -> None:
    # Of 150 sets 95 % keep it: 143; 133 or fewer have a probability below 1 in 1,000.
    assert kept_promises(MODELS[model], target, rows=600, draws=150)[0] > 0.89


@pytest.mark.slow
@pytest.mark.parametrize("rows", [100, 600, 2400])
@pytest.mark.parametrize("target", [0.9, 0.95, 0.99])
@pytest.mark.parametrize("model", MODELS)
def test_a_threshold_keeps_its_promise_95_times_in_100(model: str, target: float, rows: int) -> None:
    assert kept_promises(MODELS[model], target, rows, draws=1000)[0] >= 0.95


def test_a_good_model_gets_a_threshold() -> None:
    kept, made = kept_promises(MODELS["too modest"], 0.95, rows=2400, draws=50)
    assert kept == 1.0 and made == 1.0


def test_few_rows_promise_nothing() -> None:
    confidence = np.linspace(0.99, 0.5, 58)
    assert find_threshold(confidence, np.ones(58, dtype=bool), 0.95) is None
    assert find_threshold(np.linspace(0.99, 0.5, 100), np.ones(100, dtype=bool), 0.95) == pytest.approx(0.5)
    assert find_thresholds(np.linspace(0.99, 0.5, 100), np.ones(100, dtype=bool), (0.9, 0.95, 0.99)) == {
        "0.9": pytest.approx(0.5), "0.95": pytest.approx(0.5),
    }  # fmt: skip
    assert find_threshold(confidence, np.zeros(58, dtype=bool), 0.5) is None


def test_rows_of_unequal_weights_count_by_their_effective_number() -> None:
    confidence, correct = np.linspace(0.99, 0.5, 1000), np.arange(1000) % 20 != 19
    plain = find_threshold(confidence, correct, 0.9)
    assert plain == pytest.approx(0.5)
    assert find_threshold(confidence, correct, 0.9, weights=np.full(1000, 3.0)) == plain
    few = np.where(np.arange(1000) < 50, 100.0, 1e-3)
    every = np.ones(1000, dtype=bool)
    assert find_threshold(confidence, every, 0.95) is not None
    assert find_threshold(confidence, every, 0.95, weights=few) is None, "as few as 50 rows, where 59 are needed"


def test_the_promise_is_of_the_weighted_rows() -> None:
    kind = np.arange(2000) % 4 == 0
    confidence = np.where(kind, 0.9, np.linspace(0.999, 0.8, 2000))
    correct = np.where(kind, np.arange(2000) % 8 == 0, True)  # one kind is right half of the time
    weights = np.where(kind, 2.0, 2 / 3)
    threshold = find_threshold(confidence, correct, 0.95, weights=weights)
    assert threshold is not None and threshold > 0.9, "where it begins, the rows that are right are too few"


def test_rows_of_equal_confidence_are_answered_together() -> None:
    correct = np.arange(400) < 200
    # Half of the rows at 0.9 and all at 0.6 are wrong; those at 0.9 cannot be told from each other.
    confidence = np.where(np.arange(400) < 300, 0.9, 0.6)
    assert find_threshold(confidence, correct, 0.95) is None
    assert find_threshold(confidence, correct, 0.6) == pytest.approx(0.9)


def test_decide() -> None:
    rows = np.array([[0.9, 0.05, 0.05], [0.4, 0.3, 0.3]])
    asked, labels = [Question("one"), Question("two")], ["a", "b", "c"]
    plain = decide(asked, Scored(rows), labels)
    assert [item.label for item in plain] == ["a", "a"]
    assert set(plain[0].to_dict()) == {"question", "label", "score", "scores", "label_mass"}
    scored = Scored(rows, np.array([1.0, 0.2]))
    sure, unsure = decide(asked, scored, labels, Decision(min_confidence=0.5, multi_label=True))
    assert (sure.label, sure.best_label, sure.labels) == ("a", "a", ("a", "b"))
    assert (unsure.label, unsure.best_label, unsure.labels, unsure.label_mass) == ("abstain", "a", (), 0.2)
    assert unsure.entropy is not None and unsure.entropy > 0.9 and "labels" in unsure.to_dict()
    assert decide([], Scored(np.zeros((0, 3))), labels) == []


def test_requests_of_no_label_are_refused_where_they_are_to_be() -> None:
    asked, rows = [Question("one"), Question("two")], np.array([[0.9, 0.1], [0.8, 0.2]])
    scored = Scored(rows, in_scope=np.array([0.99, 0.1]))
    always = decide(asked, scored, ["a", "b"])
    assert [item.label for item in always] == ["a", "a"] and [item.in_scope for item in always] == [0.99, 0.1]
    strict = decide(asked, scored, ["a", "b"], Decision(min_in_scope=0.5))
    assert [item.label for item in strict] == ["a", "abstain"] and strict[1].best_label == "a"
    assert strict[1].to_dict()["in_scope"] == 0.1
    with pytest.raises(DataError, match="This model does not tell requests that belong to no label"):
        decide(asked, Scored(rows), ["a", "b"], Decision(min_in_scope=0.5))
    assert "in_scope" not in decide(asked, Scored(rows), ["a", "b"])[0].to_dict()


def test_bad_input() -> None:
    with pytest.raises(DataError, match="from 0 to 1"):
        Decision(min_confidence=1.5)
    with pytest.raises(DataError, match="min_in_scope is -1"):
        Decision(min_in_scope=-1)
    with pytest.raises(DataError, match="'abstain' is one of the labels"):
        Decision(min_confidence=0.5).check(["abstain", "physics"], True)
    Decision(multi_label=True).check(["abstain", "physics"], True)
