"""Measure any predictor on labelled rows. Knows no files but those of the rows."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from subjectwise.data.column_names import Columns
from subjectwise.data.read_table import read_examples
from subjectwise.data.split import SplitFolder, rows_sha256
from subjectwise.errors import DataError
from subjectwise.evaluation import slices
from subjectwise.evaluation.kinds import per_kind, scope_metrics
from subjectwise.evaluation.report_schema import (
    EvaluationReport,
    MeasuredRows,
    PredictionRow,
    Speed,
)
from subjectwise.evaluation.robustness import robustness
from subjectwise.labels import LabelSet
from subjectwise.question_classifier import QuestionClassifier
from subjectwise.records import Example, Question, Scored, show_options
from subjectwise.statistics.calibration import check_prior_correction, correct_prior
from subjectwise.statistics.fair_labels import rows_in_scope
from subjectwise.statistics.significance import measure
from subjectwise.types import FloatArray, IntArray, Progress
from subjectwise.utils.versions import library_versions, machine_description

USUAL_COLUMNS = Columns()


@dataclass(frozen=True)
class Rows:
    """Labelled rows and where they are from.

    Attributes:
        examples: the rows.
        protocol: how they were held out; `file` for a file that no split folder vouches for.
        split: train, validation or test; the file's name for a file.
        manifest_sha256: of the split folder; for a file the hash of its rows.
    """

    examples: Sequence[Example]
    protocol: str
    split: str
    manifest_sha256: str


def split_rows(data: SplitFolder, split: str = "test", kinds: Sequence[str] = ()) -> Rows:
    """Return the rows of one split of a split folder, of the given kinds alone where there are any.

    Raises:
        DataError: the split has no rows of a kind.
    """
    examples = data.examples(split)
    if missing := [kind for kind in kinds if kind not in {row.kind for row in examples}]:
        known = ", ".join(dict.fromkeys(row.kind for row in examples if row.kind)) or "none, since it is not a mixture"
        raise DataError(f"The {split} rows of {data.path} have no kind {missing[0]!r}; their kinds: {known}.")
    chosen = [row for row in examples if not kinds or row.kind in kinds]
    name = f"{split} ({', '.join(kinds)})" if kinds else split
    return Rows(chosen, str(data.manifest["protocol"]), name, data.manifest_sha256)


def file_rows(source: str, columns: Columns = USUAL_COLUMNS) -> Rows:
    """Return all rows of a labelled file, or of a folder of them."""
    examples = read_examples(source, columns)
    return Rows(examples, "file", Path(source).name, rows_sha256(examples))


@dataclass(frozen=True)
class Evaluation:
    """A report, and the predictions behind it."""

    report: EvaluationReport
    predictions: list[PredictionRow]


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
    """Measure `predictor` on labelled rows.

    Requests of no label count in `scope` alone: every other section is of the rows that belong to one.

    Args:
        predictor: whatever classifies questions.
        rows: to measure on.
        name: of the predictor, for the report.
        command: which measures this again, for the report.
        with_options: whether the predictor sees the answer options.
        prior_correction: as for `Classifier.classify`.
        limit: measure only this many rows, spread evenly; 0 for all.
        allow_missing: measure even where some label has no rows; its recall is then unknown.
        perturb: kinds of noise, as `typing_noise.LEVELS` has them; every level of each is measured on the same rows.
        perturb_seed: of the noise.
        on_progress: called after each batch with the number of its questions, where the predictor reports it.

    Raises:
        DataError: the rows have a label that the predictor does not know, or no row of one that it knows.
    """
    # 1) The rows, and the labels in the order of the predictor's columns.
    every = _spread(rows.examples, limit)
    labels = [str(label) for label in predictor.classes_]
    check_prior_correction(prior_correction, len(every))
    belongs = rows_in_scope(every, labels)
    examples = [example for example, known in zip(every, belongs, strict=True) if known]
    if not examples:
        raise DataError("All rows are requests of no label; give questions as well.")
    truth = _label_indices(examples, labels, predictor.labels, name, allow_missing)
    questions = show_options((example.question for example in examples), with_options)

    def score(asked: Sequence[Question]) -> FloatArray:
        scored = predictor.score(asked, on_progress=on_progress)
        return correct_prior(scored.probabilities, prior_correction, predictor.prior)

    # 2) Their probabilities, against the clock.
    started = time.perf_counter()
    scored = predictor.score(show_options((row.question for row in every), with_options), on_progress=on_progress)
    seconds = time.perf_counter() - started
    probabilities = correct_prior(scored.probabilities[belongs], prior_correction, predictor.prior)

    # 3) The sections of the report.
    matrix = slices.confusion(probabilities, truth, labels)
    noise_results = {}
    if perturb:
        noise_results = robustness(score, questions, truth, probabilities, perturb, perturb_seed)
    report = EvaluationReport(
        predictor=name,
        model_sha256=predictor.weights_sha256,
        data=MeasuredRows(
            protocol=rows.protocol,
            split=rows.split,
            rows=len(examples),
            with_options=with_options,
            prior_correction=prior_correction,
            manifest_sha256=rows.manifest_sha256,
        ),
        metrics=measure(probabilities, truth),
        per_class=slices.per_class(probabilities, truth, labels),
        per_source=slices.per_source(probabilities, truth, examples),
        slices=slices.by_question(probabilities, truth, examples),
        confusion=matrix,
        confused_pairs=slices.confused_pairs(matrix),
        confident_errors=slices.confident_errors(probabilities, truth, labels, examples),
        calibration=slices.calibration(probabilities, truth, predictor.temperature),
        risk_coverage=slices.risk_coverage(probabilities, truth),
        thresholds=slices.at_thresholds(probabilities, truth, predictor.thresholds),
        uncertainty=slices.uncertainty(probabilities, truth),
        robustness=noise_results,
        kinds=per_kind(probabilities, truth, labels, examples, predictor.thresholds) if examples[0].kind else {},
        scope=scope_metrics(scored.in_scope, belongs, every, predictor.min_in_scope),
        speed=Speed(seconds=seconds, questions_per_second=len(every) / seconds),
        versions=dict(library_versions()),
        machine=machine_description(),
        command=command,
    )
    mass = None if scored.label_mass is None else scored.label_mass[belongs]
    return Evaluation(report, _prediction_rows(examples, Scored(probabilities, mass), labels))


def _spread(examples: Sequence[Example], limit: int) -> list[Example]:
    """Return at most `limit` of the rows, spread evenly; all of them where it is 0."""
    if not limit or limit >= len(examples):
        return list(examples)
    return [examples[index] for index in np.linspace(0, len(examples) - 1, limit).astype(int)]


def _label_indices(
    examples: Sequence[Example], labels: Sequence[str], known: LabelSet, name: str, allow_missing: bool
) -> IntArray:
    """Return the index of each row's label, [rows]; raise DataError where a label is unknown or has no rows."""
    given = {example.label for example in examples}
    if unknown := sorted(given - set(labels)):
        nearest = known.nearest(unknown[0])
        suggestion = f"; did you mean {nearest!r}? Rename the labels in the data." if nearest else "."
        raise DataError(
            f"The data has the label {unknown[0]!r}, which {name or 'the predictor'} does not know{suggestion}"
        )
    missing = sorted(set(labels) - given)
    if missing and not allow_missing:
        raise DataError(
            f"No row has the label {missing[0]!r}, so that macro-F1 would leave it out; "
            "give rows of every label, or use --allow-missing-labels."
        )
    index = {label: number for number, label in enumerate(labels)}
    return np.array([index[example.label] for example in examples], dtype=np.int64)


def _prediction_rows(examples: Sequence[Example], scored: Scored, labels: Sequence[str]) -> list[PredictionRow]:
    mass = [None] * len(examples) if scored.label_mass is None else scored.label_mass.tolist()
    return [
        PredictionRow(
            row_id=example.row_id,
            label=example.label,
            predicted=labels[int(row.argmax())],
            score=float(row.max()),
            scores=dict(zip(labels, map(float, row), strict=True)),
            label_mass=label_mass,
        )
        for example, row, label_mass in zip(examples, scored.probabilities, mass, strict=True)
    ]
