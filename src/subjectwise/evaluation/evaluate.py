"""Measures any Predictor on labelled rows: report.json and predictions.jsonl."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from subjectwise.data.column_names import Columns
from subjectwise.data.read_table import read_examples
from subjectwise.data.split import SplitFolder, rows_sha256
from subjectwise.errors import DataError
from subjectwise.evaluation import slices
from subjectwise.evaluation.robustness import robustness
from subjectwise.records import Example, Question, QuestionClassifier, show_options
from subjectwise.statistics import metrics
from subjectwise.statistics.calibration import correct_prior
from subjectwise.statistics.significance import measure
from subjectwise.types import FloatArray, Progress
from subjectwise.utils.atomic_files import new_folder, write_json
from subjectwise.utils.versions import library_versions, machine_description

SCHEMA_VERSION = 1
ALL_USUAL = Columns()


@dataclass(frozen=True)
class Rows:
    """Labelled rows and where they are from.

    Attributes:
        protocol: how they were held out; `file` for a file that no split folder vouches for.
        split: train, validation or test; the file's name for a file.
        manifest_sha256: of the split folder; for a file the hash of its rows.
    """

    examples: Sequence[Example]
    protocol: str
    split: str
    manifest_sha256: str


def split_rows(data: SplitFolder, split: str = "test") -> Rows:
    """The rows of one split of a split folder."""
    return Rows(data.examples(split), str(data.manifest["protocol"]), split, data.manifest_sha256)


def file_rows(source: str, columns: Columns = ALL_USUAL) -> Rows:
    """All rows of a labelled file, or of a folder of them."""
    examples = read_examples(source, columns)
    return Rows(examples, "file", Path(source).name, rows_sha256(examples))


@dataclass(frozen=True)
class Evaluation:
    """What was measured: the report as it is written, and the predictions behind it, a dict a row."""

    report: dict[str, Any]
    predictions: list[dict[str, Any]]


def evaluate(
    predictor: QuestionClassifier,
    rows: Rows,
    *,
    name: str = "",
    command: str = "",
    with_options: bool = False,
    prior_correction: str = "none",
    limit: int = 0,
    allow_missing: bool = False,
    perturb: Sequence[str] = (),
    perturb_seed: int = 0,
    on_progress: Progress | None = None,
) -> Evaluation:
    """Measures `predictor` on labelled rows.

    Args:
        prior_correction: as `Classifier.classify` has it.
        limit: measure only this many rows, spread evenly over the split; 0 for all.
        allow_missing: measure even where the rows have none of some label, whose recall is then unknown.
        perturb: kinds of noise, as `perturb.LEVELS` has them; every level of each is measured on the same rows.
        perturb_seed: what the noise is drawn with.
        on_progress: told how many questions each batch had, where the predictor reports it.

    Raises:
        DataError: the data has a label that the predictor does not know, or has no row of one that it knows.
    """
    examples = list(rows.examples)
    if limit and limit < len(examples):
        examples = [examples[i] for i in np.linspace(0, len(examples) - 1, limit).astype(int)]
    labels = [str(label) for label in predictor.classes_]
    unknown = sorted({example.label for example in examples} - set(labels))
    if unknown:
        meant = f"; did you mean {nearest!r}?" if (nearest := predictor.labels.nearest(unknown[0])) else "."
        raise DataError(f"The data has the label {unknown[0]!r}, which {name or 'the predictor'} does not know{meant}")
    missing = sorted(set(labels) - {example.label for example in examples})
    if missing and not allow_missing:
        raise DataError(
            f"The rows have none with the label {missing[0]!r}, so that macro-F1 would leave it out; "
            "give rows of every label, or use --allow-missing-labels."
        )
    questions = show_options((example.question for example in examples), with_options)
    started = time.perf_counter()
    scored = predictor.score(questions, on_progress=on_progress)
    probabilities = correct_prior(scored.probabilities, prior_correction, predictor.prior)
    mass = [None] * len(examples) if scored.label_mass is None else scored.label_mass.tolist()
    seconds = time.perf_counter() - started
    truth = np.array([labels.index(example.label) for example in examples])

    def answer(noisy: Sequence[Question]) -> FloatArray:
        scored = predictor.score(noisy, on_progress=on_progress)
        return correct_prior(scored.probabilities, prior_correction, predictor.prior)

    figures = measure(probabilities, truth)
    noisy = {}
    if perturb:
        noisy = {"robustness": robustness(answer, questions, truth, probabilities, perturb, perturb_seed)}
    report = {
        "schema_version": SCHEMA_VERSION,
        "predictor": name,
        "model_sha256": predictor.weights_sha256,
        "data": {
            "protocol": rows.protocol,
            "split": rows.split,
            "rows": len(examples),
            "with_options": with_options,
            "prior_correction": prior_correction,
            "manifest_sha256": rows.manifest_sha256,
        },
        "metrics": {key: asdict(interval) for key, interval in figures.items()},
        "per_class": slices.per_class(probabilities, truth, labels),
        "per_source": slices.per_source(probabilities, truth, examples),
        "slices": slices.by_question(probabilities, truth, examples),
        "confusion": {"labels": labels, "counts": metrics.confusion(probabilities, truth).tolist()},
        "confused_pairs": slices.confused_pairs(probabilities, truth, labels),
        "confident_errors": slices.confident_errors(probabilities, truth, labels, examples),
        "calibration": slices.calibration(probabilities, truth, predictor.temperature),
        "risk_coverage": slices.coverage(probabilities, truth),
        "thresholds": slices.at_thresholds(probabilities, truth, predictor.thresholds),
        "uncertainty": slices.uncertainty(probabilities, truth),
        **noisy,
        "speed": {"seconds": seconds, "questions_per_second": len(examples) / seconds},
        "versions": library_versions(),
        "machine": machine_description(),
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
