"""Figures agree with scikit-learn; intervals hold what they promise."""

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from subjectwise import metrics
from subjectwise.calibration import apply_temperature, fit_temperature
from subjectwise.errors import DataError


def drawn(seed: int, rows: int = 400, classes: int = 5) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    probabilities = generator.dirichlet(np.full(classes, 0.5), rows)
    truth = np.array([generator.choice(classes, p=row) for row in probabilities])
    return probabilities, truth


@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_scikit_learn(seed: int) -> None:
    probabilities, truth = drawn(seed)
    predicted = probabilities.argmax(axis=1)
    assert metrics.accuracy(probabilities, truth) == pytest.approx(
        sklearn_metrics.accuracy_score(truth, predicted), abs=1e-9
    )
    f1 = sklearn_metrics.f1_score(truth, predicted, average="macro")
    assert metrics.macro_f1(probabilities, truth) == pytest.approx(f1, abs=1e-9)
    loss = sklearn_metrics.log_loss(truth, probabilities, labels=range(5))
    assert metrics.nll(probabilities, truth) == pytest.approx(loss, abs=1e-9)
    brier = sklearn_metrics.brier_score_loss(truth, probabilities, labels=range(5), scale_by_half=False)
    assert metrics.brier(probabilities, truth) == pytest.approx(brier, abs=1e-9)
    table = sklearn_metrics.confusion_matrix(truth, predicted, labels=range(5))
    np.testing.assert_array_equal(metrics.confusion(probabilities, truth), table)
    expected = sklearn_metrics.precision_recall_fscore_support(truth, predicted, labels=range(5), zero_division=0)[:3]
    np.testing.assert_allclose(metrics.precision_recall_f1(probabilities, truth), np.array(expected).T, atol=1e-12)


def test_ece_is_small_when_calibrated_and_the_gap_when_not() -> None:
    probabilities, truth = drawn(1, rows=20_000)
    assert metrics.ece(probabilities, truth) < 0.02
    always = np.tile([0.9, 0.1], (1000, 1))
    truth = np.repeat([0, 1], 500)
    assert metrics.ece(always, truth) == pytest.approx(0.4)


def test_wilson_is_the_published_example() -> None:
    # Newcombe (1998), Statistics in Medicine 17, table I: 81 of 263.
    interval = metrics.wilson_interval(81, 263)
    assert (round(interval.low, 4), round(interval.high, 4)) == (0.2553, 0.3662)


def test_intervals_hold_the_figure() -> None:
    probabilities, truth = drawn(2)
    for name, interval in metrics.measure(probabilities, truth, resamples=200).items():
        assert interval.low <= interval.value <= interval.high, name
        assert interval.high - interval.low < 0.5, name


def test_bad_input_is_refused() -> None:
    probabilities, truth = drawn(0)
    for bad, labels, part in [
        (probabilities[:-1], truth, "399 predictions for 400 labels"),
        (probabilities[:0], truth[:0], "no rows"),
        (probabilities * 1.1, truth, "do not sum to 1"),
        (np.full_like(probabilities, np.nan), truth, "do not sum to 1"),
    ]:
        with pytest.raises(DataError, match=part):
            metrics.measure(bad, labels)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_a_temperature_is_found_again(temperature: float) -> None:
    generator = np.random.default_rng(3)
    probabilities = generator.dirichlet(np.full(6, 0.4), 20_000)
    truth = np.array([generator.choice(6, p=row) for row in probabilities])
    # Log-probabilities that are right only once divided by `temperature`.
    log_probs = np.log(apply_temperature(np.log(probabilities), 1 / temperature))
    assert fit_temperature(log_probs, truth) == pytest.approx(temperature, rel=0.05)
    recovered = apply_temperature(log_probs, temperature)
    np.testing.assert_allclose(recovered, probabilities, atol=1e-9)
