"""Answers to the rows of a file or stream, chunk by chunk. Knows no output file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from subjectwise.data.column_names import find_column
from subjectwise.data.read_table import iterate_rows, read_options
from subjectwise.errors import DataError, QuestionError
from subjectwise.records import ALWAYS_ONE, Decision, Prediction, Question, QuestionClassifier
from subjectwise.types import JsonObject, Row

# Rows that are read, sorted by length and answered together; what an interruption can lose.
CHUNK = 512

# The keys of an answer. An input column of the same name is kept as `input_NAME`.
ANSWER_KEYS = (
    "question",
    "label",
    "score",
    "scores",
    "label_mass",
    "best_label",
    "labels",
    "entropy",
    "error",
    "explanation",
)


@dataclass(frozen=True)
class BulkOptions:
    """How the rows of a file are read and answered.

    Attributes:
        question_column: "" for the first of the usual names.
        options_column: "" for the first of the usual names.
        with_options: whether the model is shown the answer options of a row.
        decision: when to abstain, and whether to give several labels.
        prior_correction: as for `QuestionClassifier.classify`; it looks at one chunk at a time.
        keep_going: a row that cannot be read gets an `error` in place of an answer, and the run goes on.
        explain: add its `explanation` to each answer.
    """

    question_column: str = ""
    options_column: str = ""
    with_options: bool = False
    decision: Decision = ALWAYS_ONE
    prior_correction: str = "none"
    keep_going: bool = False
    explain: bool = False


def classify_rows(
    classifier: QuestionClassifier, path: Path, options: BulkOptions = BulkOptions(), skip: int = 0
) -> Iterator[list[Row]]:
    """Yield the answers to the rows of `path`, in their order, one chunk at a time.

    An answer is the prediction's fields and every other column of its row.

    Args:
        classifier: which answers.
        path: of a TXT, JSONL, CSV or parquet file, or "-" for standard input.
        options: how rows are read and answered.
        skip: how many rows to leave out at the start.

    Raises:
        DataError: a row cannot be read, and `options.keep_going` is off.
    """
    rows = iterate_rows(path, skip)
    number = skip
    location = "standard input" if str(path) == "-" else str(path)
    while chunk := list(islice(rows, CHUNK)):
        names = list(chunk[0])
        question_name = find_column(names, "question", options.question_column, location)
        options_name = find_column(names, "options", options.options_column, location, required=options.with_options)
        questions: list[Question | str] = []
        for row in chunk:
            number += 1
            try:
                if question_name not in row:
                    raise QuestionError(f"the row has no column {question_name!r}")
                shown = read_options(row.get(options_name), "the row") if options.with_options else ()
                questions.append(Question(row[question_name], shown))
            except (QuestionError, DataError) as error:
                if not options.keep_going:
                    raise DataError(
                        f"{location}, row {number}: {error} Use --keep-going to note it and go on."
                    ) from error
                questions.append(str(error))
        readable = [question for question in questions if isinstance(question, Question)]
        predictions = iter(
            classifier.classify(readable, decision=options.decision, prior_correction=options.prior_correction)
        )
        answers = []
        for row, question in zip(chunk, questions, strict=True):
            if isinstance(question, Question):
                explanation = {"explanation": classifier.explain(question).to_dict()} if options.explain else {}
                answers.append(_answer(row, question_name, next(predictions)) | explanation)
            else:
                answers.append(_answer(row, question_name, question))
        yield answers


def json_line(row: Row) -> str:
    """Return one JSON line; dates and the like, which parquet has and JSON does not, as text."""
    return json.dumps(row, ensure_ascii=False, default=str) + "\n"


def _answer(row: Row, question_name: str, result: Prediction | str) -> JsonObject:
    """Return the fields of a prediction, or of an error, and the other columns of the row."""
    if isinstance(result, Prediction):
        answer = {**result.to_dict(), "question": row[question_name]}
    else:
        unanswered = dict.fromkeys(("label", "score", "scores", "label_mass"))
        answer = {"question": row.get(question_name), **unanswered, "error": result}
    others = {key: value for key, value in row.items() if key != question_name}
    return answer | {f"input_{key}" if key in ANSWER_KEYS else key: value for key, value in others.items()}
