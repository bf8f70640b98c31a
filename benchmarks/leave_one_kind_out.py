"""Calibration on a kind of question that it was not fitted on: one temperature, or one by signs of novelty.

    subjectwise evaluate shipped --data mix --split validation --output validation-report
    python benchmarks/leave_one_kind_out.py --data mix --report validation-report

Each kind of the mixture is left out in turn; the temperature is fitted on the other kinds, all weighing alike, and
measured on the one that was left out, any fair label counted as right. Signs of novelty: label mass, the gap between
the two highest log-probabilities, and the length of the question. Writes benchmarks/results/leave_one_kind_out.json;
takes seconds.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from common import table, write_results
from scipy.optimize import minimize

from subjectwise.data.split import open_split
from subjectwise.evaluation.report_files import PREDICTIONS_FILE, iterate_predictions
from subjectwise.statistics.calibration import LOG_TEMPERATURE_SD
from subjectwise.statistics.fair_labels import fair_labels, rows_in_scope
from subjectwise.statistics.kind_weights import kind_weights
from subjectwise.statistics.metrics import calibration_error
from subjectwise.types import BoolArray, FloatArray, IntArray

PROMISE = 0.95


def log_temperature(features: FloatArray, weights: FloatArray) -> FloatArray:
    """Return the log-temperature of each row, linear in its features, [rows]."""
    values: FloatArray = features @ weights
    return values.clip(-3, 3)


def scaled(log_probs: FloatArray, features: FloatArray, weights: FloatArray) -> FloatArray:
    """Return probabilities, [rows, labels]."""
    values = log_probs / np.exp(log_temperature(features, weights))[:, None]
    probabilities: FloatArray = np.exp(values - np.logaddexp.reduce(values, axis=1)[:, None])
    return probabilities


def fit(log_probs: FloatArray, truth: IntArray, features: FloatArray, row_weights: FloatArray) -> FloatArray:
    """Return the weights of lowest NLL, with the prior of `fit_temperature` on each."""

    def loss(weights: FloatArray) -> float:
        chosen = scaled(log_probs, features, weights)[np.arange(len(truth)), truth]
        prior = float(weights @ weights) / (2 * LOG_TEMPERATURE_SD**2)
        return float(-(row_weights * np.log(np.maximum(chosen, 1e-12))).sum()) + prior

    return np.asarray(minimize(loss, np.zeros(features.shape[1]), method="BFGS").x)


def promised_threshold(confidence: FloatArray, right: BoolArray, weights: FloatArray) -> float:
    """Return the lowest confidence at and above which the promised share of the answers is right."""
    order = np.argsort(-confidence)
    share = np.cumsum((weights * right)[order]) / np.cumsum(weights[order])
    kept = np.flatnonzero(share >= PROMISE)
    return float(confidence[order][kept[-1]]) if len(kept) else 1.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a split folder of 'subjectwise data mix'")
    parser.add_argument("--report", type=Path, required=True, help="a report on its validation rows")
    arguments = parser.parse_args()
    data = open_split(arguments.data)
    rows = {row.row_id: row for row in data.examples("validation")}
    predictions = list(iterate_predictions(arguments.report / PREDICTIONS_FILE))
    examples = [rows[prediction.row_id] for prediction in predictions]
    kept = np.flatnonzero(rows_in_scope(examples, data.labels.names))
    examples = [examples[i] for i in kept]
    probabilities = np.array([[predictions[i].scores[label] for label in data.labels] for i in kept])
    log_probs = np.log(np.maximum(probabilities, 1e-9))
    truth = np.array([data.labels.names.index(row.label) for row in examples])
    right = fair_labels(examples, data.labels.names)[np.arange(len(truth)), probabilities.argmax(axis=1)]
    names, kinds = np.unique([row.kind for row in examples], return_inverse=True)

    two_best = np.sort(log_probs, axis=1)[:, -2:]
    mass = np.array([predictions[i].label_mass or 1.0 for i in kept])
    signs = np.stack(
        [
            np.log(np.maximum(mass, 1e-6)), two_best[:, 1] - two_best[:, 0],
            np.log([len(row.question.text) for row in examples]),
        ],
        axis=1,
    )  # fmt: skip
    signs = (signs - signs.mean(axis=0)) / signs.std(axis=0)
    one = np.ones((len(truth), 1))
    ways = {"one temperature": one, "temperature by signs of novelty": np.concatenate([one, signs], axis=1)}
    results: dict[str, dict[str, dict[str, float]]] = {
        str(name): {way: measure(log_probs, truth, right, features, kinds, number) for way, features in ways.items()}
        for number, name in enumerate(names)
    }
    write_results("leave_one_kind_out.json", results)
    keys = {"nll": "NLL", "ece": "ECE", "answered": f"answered at {PROMISE:.0%}", "right": "of these right"}
    lines = [[name, *(f"{results[name][way][key]:.3f}" for key in keys for way in ways)] for name in sorted(results)]
    means = [f"{np.nanmean([results[name][way][key] for name in results]):.3f}" for key in keys for way in ways]
    heading = [f"{title}, {way}" for title in keys.values() for way in ("one", "signs")]
    print(table(["kind left out", *heading], [*lines, ["mean", *means]]))


def measure(
    log_probs: FloatArray, truth: IntArray, right: BoolArray, features: FloatArray, kinds: IntArray, number: int,
) -> dict[str, float]:  # fmt: skip
    """Fit on all kinds but that of `number`, and return what holds on that kind."""
    out = kinds == number
    weights = kind_weights(kinds[~out].tolist())
    fitted = fit(log_probs[~out], truth[~out], features[~out], weights)
    inside = scaled(log_probs[~out], features[~out], fitted).max(axis=1)
    threshold = promised_threshold(inside, right[~out], weights)
    probabilities = scaled(log_probs[out], features[out], fitted)
    confidence = probabilities.max(axis=1)
    answered = confidence >= threshold
    chosen = probabilities[np.arange(int(out.sum())), truth[out]]
    return {
        "rows": int(out.sum()),
        "nll": float(-np.log(np.maximum(chosen, 1e-12)).mean()),
        "ece": float(calibration_error(confidence, right[out])),
        "answered": float(answered.mean()),
        "right": float(right[out][answered].mean()) if answered.any() else float("nan"),
    }


if __name__ == "__main__":
    main()
