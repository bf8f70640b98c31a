"""Metrics agree with scikit-learn and torchmetrics."""

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from subjectwise.errors import DataError
from subjectwise.statistics import metrics


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


def test_bad_input_is_refused() -> None:
    probabilities, truth = drawn(0)
    for bad, labels, part in [
        (probabilities[:-1], truth, "399 predictions for 400 labels"),
        (probabilities[:0], truth[:0], "no rows"),
        (probabilities * 1.1, truth, "do not sum to 1"),
        (np.full_like(probabilities, np.nan), truth, "do not sum to 1"),
    ]:
        with pytest.raises(DataError, match=part):
            metrics.check(bad, labels)


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_torchmetrics(seed: int) -> None:
    torch = pytest.importorskip("torch")
    from torchmetrics.functional import classification as torchmetrics

    probabilities, truth = drawn(seed)
    given, labels = torch.tensor(probabilities), torch.tensor(truth)
    for measured, expected in [
        (metrics.accuracy(probabilities, truth), torchmetrics.multiclass_accuracy(given, labels, 5, average="micro")),
        (metrics.macro_f1(probabilities, truth), torchmetrics.multiclass_f1_score(given, labels, 5, average="macro")),
        (
            metrics.ece(probabilities, truth, equal_width=True),
            torchmetrics.multiclass_calibration_error(given, labels, 5, n_bins=metrics.ECE_BINS, norm="l1"),
        ),
    ]:
        assert measured == pytest.approx(float(expected), abs=1e-6)
    table = torchmetrics.multiclass_confusion_matrix(given, labels, 5)
    np.testing.assert_array_equal(metrics.confusion(probabilities, truth), table.numpy())


def test_a_perfectly_calibrated_model_stays_below_its_bound_19_times_in_20() -> None:
    below = []
    for seed in range(100):
        probabilities, truth = drawn(seed)
        below.append(metrics.ece(probabilities, truth) <= metrics.perfect_ece(probabilities, draws=200))
    assert 88 <= sum(below) <= 100
    certain = np.tile([0.999, 0.001], (400, 1))
    assert metrics.ece(certain, np.repeat([0, 1], 200)) > 5 * metrics.perfect_ece(certain)


def test_classwise_ece_is_the_gap_of_each_class() -> None:
    always = np.tile([0.9, 0.1, 0.0], (1000, 1))
    assert metrics.classwise_ece(always, np.repeat([0, 1], 500)) == pytest.approx((0.4 + 0.4 + 0.0) / 3)


def test_reliability_bins_hold_every_row_and_give_the_ece() -> None:
    probabilities, truth = drawn(4)
    bins = metrics.reliability(probabilities, truth)
    assert sum(each.rows for each in bins) == len(truth) and len(bins) == metrics.ECE_BINS
    assert [each.confidence for each in bins] == sorted(each.confidence for each in bins)
    gap = sum(abs(each.right - each.rows * each.confidence) for each in bins) / len(truth)
    assert gap == pytest.approx(metrics.ece(probabilities, truth))


def test_risk_coverage() -> None:
    confidence = np.array([0.6, 0.9, 0.9, 0.7])
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    curve = metrics.risk_coverage(probabilities, np.array([1, 0, 1, 0]))
    assert [(point.coverage, point.accuracy, point.threshold) for point in curve] == [
        (0.5, 0.5, 0.9),
        (0.75, pytest.approx(2 / 3), 0.7),
        (1.0, 0.5, 0.6),
    ]
    assert metrics.accuracy_at(curve, 0.6).coverage == 0.75 and metrics.accuracy_at(curve, 1.0).coverage == 1.0


def test_auroc_is_the_probability_of_the_right_order() -> None:
    assert metrics.auroc(np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True])) == pytest.approx(0.75)
    assert metrics.auroc(np.array([0.5, 0.5]), np.array([True, False])) == 0.5, "a tie counts half"
    generator = np.random.default_rng(0)
    scores, positive = generator.random(400), generator.random(400) < 0.3
    assert metrics.auroc(scores, positive) == pytest.approx(sklearn_metrics.roc_auc_score(positive, scores))
