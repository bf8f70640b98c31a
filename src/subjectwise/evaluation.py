"""Measures any Predictor on the rows of a split: report.json and predictions.jsonl."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from subjectwise import metrics
from subjectwise.classifier import Classifier
from subjectwise.data.split import SplitFolder
from subjectwise.errors import DataError
from subjectwise.files import new_folder, write_json
from subjectwise.labels import LabelSet
from subjectwise.metrics import Interval
from subjectwise.model_folder import library_versions
from subjectwise.records import Example, FloatArray, Predictor, Question

SCHEMA_VERSION = 1
ZERO_SHOT = "zero-shot:"


@dataclass(frozen=True)
class Evaluation:
    """What was measured: the report as it is written, and the predictions behind it, a dict a row."""

    report: dict[str, Any]
    predictions: list[dict[str, Any]]


def load_predictor(name: str, labels: LabelSet, **options: Any) -> Classifier:
    """A predictor by name: a model folder, a name on the Hub, `shipped`, or `zero-shot:BASE`.

    `options` are `base` (where the base of a model folder is), `device` and `dtype`.
    """
    if name.startswith(ZERO_SHOT):
        options.pop("base", None)
        return Classifier.zero_shot(labels, base=name.removeprefix(ZERO_SHOT), **options)
    return Classifier.from_pretrained(None if name == "shipped" else name, **options)


def evaluate(
    predictor: Predictor,
    data: SplitFolder,
    split: str = "test",
    *,
    name: str = "",
    command: str = "",
    with_options: bool = False,
    limit: int = 0,
    on_progress: Callable[[int], None] | None = None,
) -> Evaluation:
    """Measures `predictor` on one split.

    Args:
        limit: measure only this many rows, spread evenly over the split; 0 for all.
        on_progress: told how many questions each batch had, where the predictor reports it.

    Raises:
        DataError: the predictor's labels are not those of the data.
    """
    examples = data.examples(split)
    if limit and limit < len(examples):
        examples = [examples[i] for i in np.linspace(0, len(examples) - 1, limit).astype(int)]
    labels = [str(label) for label in predictor.classes_]
    unknown = sorted({example.label for example in examples} - set(labels))
    if unknown:
        raise DataError(f"The data has the label {unknown[0]!r}, which {name or 'the predictor'} does not know.")
    questions = [example.question if with_options else Question(example.question.text) for example in examples]
    started = time.perf_counter()
    probabilities, mass = _predict(predictor, questions, with_options, on_progress)
    seconds = time.perf_counter() - started
    truth = np.array([labels.index(example.label) for example in examples])
    figures = metrics.measure(probabilities, truth)
    report = {
        "schema_version": SCHEMA_VERSION,
        "predictor": name,
        "data": {
            "protocol": data.manifest["protocol"],
            "split": split,
            "rows": len(examples),
            "with_options": with_options,
            "manifest_sha256": data.manifest_sha256,
        },
        "metrics": {key: asdict(interval) for key, interval in figures.items()},
        "per_class": _per_class(probabilities, truth, labels),
        "per_source": _per_source(probabilities, truth, examples),
        "confusion": {"labels": labels, "counts": metrics.confusion(probabilities, truth).tolist()},
        "speed": {"seconds": seconds, "questions_per_second": len(examples) / seconds},
        "versions": library_versions(),
        "machine": {"system": platform.system(), "processor": platform.machine(), "cores": os.cpu_count()},
        "command": command,
    }
    predictions = [
        {
            "row_id": example.row_id,
            "label": example.label,
            "predicted": labels[int(row.argmax())],
            "score": float(row.max()),
            "scores": dict(zip(labels, map(float, row), strict=True)),
            "label_mass": any_label,
        }
        for example, row, any_label in zip(examples, probabilities, mass, strict=True)
    ]
    return Evaluation(report, predictions)


def write_evaluation(output: Path, evaluation: Evaluation) -> None:
    """Writes report.json and predictions.jsonl to a new folder, whole or not at all."""
    with new_folder(output) as folder:
        write_json(folder / "report.json", evaluation.report)
        with (folder / "predictions.jsonl").open("w", encoding="utf-8") as stream:
            for row in evaluation.predictions:
                stream.write(json.dumps(row, ensure_ascii=False) + "\n")


def _predict(
    predictor: Predictor, questions: Sequence[Question], with_options: bool, on_progress: Callable[[int], None] | None
) -> tuple[FloatArray, list[float | None]]:
    if not isinstance(predictor, Classifier):
        return predictor.predict_proba(questions), [None] * len(questions)
    predictions = predictor.classify(questions, with_options=with_options, on_progress=on_progress)
    probabilities = np.array([list(prediction.scores.values()) for prediction in predictions])
    return probabilities, [prediction.label_mass for prediction in predictions]


def _per_class(probabilities: FloatArray, truth: metrics.IntArray, labels: Sequence[str]) -> dict[str, Any]:
    rows = np.bincount(truth, minlength=len(labels))
    values = metrics.precision_recall_f1(probabilities, truth)
    return {
        label: {"rows": int(count), "precision": float(p), "recall": float(r), "f1": float(f1)}
        for label, count, (p, r, f1) in zip(labels, rows, values, strict=True)
    }


def _per_source(probabilities: FloatArray, truth: metrics.IntArray, examples: Sequence[Example]) -> dict[str, Any]:
    correct = probabilities.argmax(axis=1) == truth
    found: dict[str, Any] = {}
    for source in sorted({example.source for example in examples if example.source}):
        own = np.array([example.source == source for example in examples])
        interval: Interval = metrics.wilson_interval(int(correct[own].sum()), int(own.sum()))
        found[source] = {"rows": int(own.sum()), "accuracy": asdict(interval)}
    return found
