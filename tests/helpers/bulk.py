"""Files of rows, and what became of them."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow.parquet

from subjectwise.bulk.classify_files import classify_file
from subjectwise.bulk.score_rows import BulkCounts, BulkOptions
from subjectwise.bulk.unfinished_run import model_identity
from subjectwise.question_classifier import QuestionClassifier
from subjectwise.types import Row

QUESTIONS = [f"What is question {number}?" for number in range(30)]


def write_lines(path: Path, rows: Iterable[Any]) -> Path:
    """Write JSON lines; a text among the rows is a line as it is."""
    with path.open("w", encoding="utf-8") as stream:
        stream.writelines(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows)
    return path


def read_answers(path: Path) -> list[Row]:
    """Read the answers in an output of any format; cells of CSV stay text."""
    if path.suffix == ".parquet":
        rows: list[Row] = pyarrow.parquet.read_table(path).to_pylist()
        return rows
    if path.suffix == ".csv":
        with path.open(encoding="utf-8-sig", newline="") as stream:
            return list(csv.DictReader(stream))
    with path.open(encoding="utf-8") as stream:
        return [json.loads(line) for line in stream]


def run_file(
    classifier: QuestionClassifier, source: Path, output: Path, options: BulkOptions = BulkOptions(), **settings: Any
) -> BulkCounts:
    """Classify a file as the command does."""
    run = model_identity(classifier, "fake", "", "auto", "pytorch")
    return classify_file(classifier, source, output, options, run=run, **settings)


def beside(output: Path) -> list[str]:
    """Return the names of hidden files beside an output: what a run has left."""
    return sorted(file.name for file in output.parent.iterdir() if file.name.startswith("."))
