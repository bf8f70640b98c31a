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
def test_a_temperature_is_found_again(temperature: float) -> None:
    probabilities, truth = drawn()
    # Log-probabilities that are right only once divided by `temperature`.
    log_probs = np.log(apply_temperature(np.log(probabilities), 1 / temperature))
    assert fit_temperature(log_probs, truth) == pytest.approx(temperature, rel=0.05)
    recovered = apply_temperature(log_probs, temperature)
    np.testing.assert_allclose(recovered, probabilities, atol=1e-9)
    np.testing.assert_allclose(remove_temperature(recovered, temperature), np.exp(log_probs), atol=1e-9)


def test_the_mix_of_labels_is_found_where_it_has_changed() -> None:
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
