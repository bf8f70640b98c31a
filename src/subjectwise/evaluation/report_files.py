"""Reads and writes the files of an evaluation: report.json, predictions.jsonl and learning_curve.json.

Whoever needs one of them reads it here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from subjectwise.data.read_table import iterate_rows
from subjectwise.errors import DataError
from subjectwise.evaluation.learning_curve_schema import LearningCurve
from subjectwise.evaluation.report_schema import SCHEMA_VERSION, EvaluationReport, PredictionRow
from subjectwise.utils.atomic_files import new_folder, read_json, write_json
from subjectwise.utils.json_records import FieldError, from_json, to_json

REPORT_FILE = "report.json"
PREDICTIONS_FILE = "predictions.jsonl"
LEARNING_CURVE_FILE = "learning_curve.json"

_T = TypeVar("_T", EvaluationReport, LearningCurve)


def write_evaluation(output: Path, report: EvaluationReport, predictions: Sequence[PredictionRow]) -> None:
    """Write report.json and predictions.jsonl to a new folder, whole or not at all."""
    with new_folder(output) as folder:
        write_json(folder / REPORT_FILE, report.to_dict())
        with (folder / PREDICTIONS_FILE).open("w", encoding="utf-8") as stream:
            for row in predictions:
                stream.write(json.dumps(to_json(row), ensure_ascii=False) + "\n")


def write_learning_curve(path: Path, curve: LearningCurve) -> None:
    """Write learning_curve.json."""
    write_json(path, curve.to_dict())


def read_report(path: Path) -> EvaluationReport:
    """Read report.json.

    Raises:
        DataError: the file is missing, damaged (the field is named) or of another schema version.
    """
    return _read(path, EvaluationReport)


def read_learning_curve(path: Path) -> LearningCurve:
    """Read learning_curve.json; raise DataError as `read_report` does."""
    return _read(path, LearningCurve)


def _read(path: Path, cls: type[_T]) -> _T:
    content = read_json(path, DataError)
    version = content.get("schema_version")
    if version != SCHEMA_VERSION:
        raise DataError(f"{path} has schema version {version}; this version reads {SCHEMA_VERSION}. Measure again.")
    try:
        return from_json(cls, content)
    except FieldError as error:
        raise DataError(f"{path} is damaged: {error}. Measure again.") from error


def iterate_predictions(path: Path) -> Iterator[PredictionRow]:
    """Yield the rows of predictions.jsonl, or of another table with the columns row_id and scores.

    Raises:
        DataError: the file is missing or damaged; the row and the field are named.
    """
    for number, row in enumerate(iterate_rows(path), start=1):
        values = {**row, "row_id": str(row["row_id"])} if row.get("row_id") is not None else row
        try:
            yield from_json(PredictionRow, values)
        except FieldError as error:
            raise DataError(
                f"{path} is damaged: in row {number} {error}. Write it again with 'subjectwise evaluate'."
            ) from error
