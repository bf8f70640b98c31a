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
from subjectwise.types import BoolArray, FloatArray, IntArray


def test_entropy_is_0_when_certain_and_1_when_uniform() -> None:
    entropy = normalised_entropy(np.array([[1.0, 0, 0, 0], [0.25] * 4, [0.5, 0.5, 0, 0]]))
    np.testing.assert_allclose(entropy, [0, 1, 0.5], atol=1e-12)
    assert entropy_band(np.array([0.0, 0.19, 0.2, 0.5, 0.79, 0.8, 1.0])).tolist() == [0, 0, 1, 2, 3, 4, 4]


def test_more_labels_at_a_higher_entropy() -> None:
    rows = np.array([[0.97, 0.01, 0.01, 0.01], [0.1, 0.4, 0.4, 0.1], [0.25] * 4])
    assert [likely.tolist() for likely in likely_labels(rows)] == [[0], [1, 2, 0, 3], [0, 1, 2, 3]]
    half = np.array([[0.0, 0.5, 0.0, 0.5]])
    assert [likely.tolist() for likely in likely_labels(half)] == [[1, 3, 0]]


def rows_of(confidence: FloatArray, correct: BoolArray) -> tuple[FloatArray, IntArray]:
    """Return probabilities of ten labels with that confidence in the first, and the truth."""
    rest = np.repeat((1 - confidence)[:, None] / 9, 9, axis=1)
    return np.concatenate([confidence[:, None], rest], axis=1), np.where(correct, 0, 1)


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
        threshold = find_threshold(*rows_of(confidence[chosen], correct[chosen]), target)
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
    assert find_threshold(*rows_of(confidence, np.ones(58, dtype=bool)), 0.95) is None
    assert find_threshold(*rows_of(np.linspace(0.99, 0.5, 100), np.ones(100, dtype=bool)), 0.95) == pytest.approx(0.5)
    assert find_thresholds(*rows_of(np.linspace(0.99, 0.5, 100), np.ones(100, dtype=bool)), (0.9, 0.95, 0.99)) == {
        "0.9": pytest.approx(0.5), "0.95": pytest.approx(0.5),
    }  # fmt: skip
    assert find_threshold(*rows_of(confidence, np.zeros(58, dtype=bool)), 0.5) is None


def test_rows_of_equal_confidence_are_answered_together() -> None:
    correct = np.arange(400) < 200
    # Half of the rows at 0.9 and all at 0.6 are wrong; those at 0.9 cannot be told from each other.
    confidence = np.where(np.arange(400) < 300, 0.9, 0.6)
    assert find_threshold(*rows_of(confidence, correct), 0.95) is None
    assert find_threshold(*rows_of(confidence, correct), 0.6) == pytest.approx(0.9)


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
