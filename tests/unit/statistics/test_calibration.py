"""Temperature and prior correction."""

import numpy as np
import pytest

from subjectwise.statistics.calibration import (
    apply_temperature,
    batch_calibration,
    fit_temperature,
    match_prior,
    remove_temperature,
)
from subjectwise.types import FloatArray


def drawn(rows: int = 20_000, classes: int = 6) -> tuple[FloatArray, np.ndarray]:
    generator = np.random.default_rng(3)
    probabilities = generator.dirichlet(np.full(classes, 0.4), rows)
    return probabilities, np.array([generator.choice(classes, p=row) for row in probabilities])


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_a_temperature_is_recovered(temperature: float) -> None:
    probabilities, truth = drawn()
    # Log-probabilities that are right only once divided by `temperature`.
    log_probs = np.log(apply_temperature(np.log(probabilities), 1 / temperature))
    assert fit_temperature(log_probs, truth) == pytest.approx(temperature, rel=0.05)
    recovered = apply_temperature(log_probs, temperature)
    np.testing.assert_allclose(recovered, probabilities, atol=1e-9)
    np.testing.assert_allclose(remove_temperature(recovered, temperature), np.exp(log_probs), atol=1e-9)


def constant(confidence: float, rows: int) -> FloatArray:
    """Log-probabilities of four labels, the first with that confidence."""
    return np.asarray(np.log(np.tile([confidence, *[(1 - confidence) / 3] * 3], (rows, 1))))


@pytest.mark.parametrize(("confidence", "at_most"), [(0.6, 0.93), (0.9, 0.98), (0.99, 0.996)])
def test_a_dozen_right_answers_are_not_certainty(confidence: float, at_most: float) -> None:
    # By Laplace's rule of succession the next answer is right with a probability of 13/14, or 0.93.
    log_probs = constant(confidence, 12)
    temperature = fit_temperature(log_probs, np.zeros(12, dtype=np.int64))
    assert 0.4 < temperature < 1
    assert confidence < apply_temperature(log_probs, temperature)[0, 0] < at_most


def test_a_dozen_wrong_answers_are_not_ignorance() -> None:
    assert 1 < fit_temperature(constant(0.9, 12), np.ones(12, dtype=np.int64)) < 6


def test_the_prior_hardly_weighs_on_many_rows() -> None:
    log_probs = constant(0.9, 2000)
    truth = (np.arange(2000) % 10 == 0).astype(np.int64)
    assert fit_temperature(log_probs, truth) == pytest.approx(1.0, abs=0.002)
    for wanted in (0.3, 3.0):
        assert fit_temperature(log_probs * wanted, truth) == pytest.approx(wanted, rel=0.01)


def test_without_rows_the_temperature_is_the_priors() -> None:
    assert fit_temperature(np.zeros((0, 3)), np.zeros(0, dtype=np.int64)) == pytest.approx(1.0, abs=1e-4)


def test_the_mix_of_labels_is_estimated_where_it_has_changed() -> None:
    probabilities, truth = drawn()
    # Label 0 becomes four times as frequent, by leaving out most of the other rows.
    generator = np.random.default_rng(4)
    kept = (truth == 0) | (generator.random(len(truth)) < 0.25)
    shifted, labels = probabilities[kept], truth[kept]
    trained = np.bincount(truth) / len(truth)
    adapted = match_prior(shifted, trained)
    np.testing.assert_allclose(adapted.sum(axis=1), 1)
    np.testing.assert_allclose(adapted.mean(axis=0), np.bincount(labels) / len(labels), atol=0.02)

    def loss(rows: FloatArray) -> float:
        return float(-np.log(rows[np.arange(len(labels)), labels]).mean())

    assert loss(adapted) < loss(shifted) - 0.05 < loss(batch_calibration(shifted)) - 0.05
    np.testing.assert_allclose(match_prior(probabilities, trained), probabilities, atol=0.03)


def test_batch_calibration_levels_the_labels() -> None:
    probabilities = np.array([[0.8, 0.2], [0.6, 0.4]])
    # Means 0.7 and 0.3: 0.8/0.7 against 0.2/0.3, and 0.6/0.7 against 0.4/0.3.
    np.testing.assert_allclose(batch_calibration(probabilities)[:, 0], [12 / 19, 9 / 23])
