"""A file of questions in, a file of answers out. Streams, and goes on where an interrupted run stopped.

Answers are collected as JSON lines in `.OUTPUT.part.jsonl`, which becomes the output at the end. What that part
belongs to (input, model, settings) is kept beside it, so that no run goes on with another's answers.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from subjectwise.data.column_names import find_column
from subjectwise.data.read_table import iterate_rows, read_options
from subjectwise.errors import DataError, OutputError, QuestionError
from subjectwise.records import ALWAYS_ONE, Decision, Prediction, Question, QuestionClassifier
from subjectwise.types import Progress, Row
from subjectwise.utils.atomic_files import check_new, new_file, read_json, write_json, writing

OUTPUT_FORMATS = (".jsonl", ".csv", ".parquet")

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


def classify_rows(
    classifier: QuestionClassifier,
    path: Path,
    *,
    question_column: str = "",
    options_column: str = "",
    with_options: bool = False,
    decision: Decision = ALWAYS_ONE,
    prior_correction: str = "none",
    keep_going: bool = False,
    explain: bool = False,
    skip: int = 0,
) -> Iterator[list[Row]]:
    """Yields answers in the order of the rows of `path`, a chunk at a time, after the first `skip` rows.

    An answer is the prediction's fields and every other column of its row. With `keep_going`, a row that cannot
    be read has `label` null and an `error` in place of an answer; without it, such a row raises DataError.
    A `prior_correction` looks at one chunk at a time. With `explain`, an answer has its `explanation`.
    """
    rows = iterate_rows(path, skip)
    number = skip
    place = "standard input" if str(path) == "-" else str(path)
    while chunk := list(islice(rows, CHUNK)):
        names = list(chunk[0])
        question_name = find_column(names, "question", question_column, place)
        options_name = find_column(names, "options", options_column, place, required=with_options)
        questions: list[Question | str] = []
        for row in chunk:
            number += 1
            try:
                if question_name not in row:
                    raise QuestionError(f"the row has no column {question_name!r}")
                options = read_options(row.get(options_name), "the row") if with_options else ()
                questions.append(Question(row[question_name], options))
            except (QuestionError, DataError) as error:
                if not keep_going:
                    raise DataError(f"{place}, row {number}: {error} Use --keep-going to note it and go on.") from error
                questions.append(str(error))
        readable = [question for question in questions if isinstance(question, Question)]
        answers = iter(classifier.classify(readable, decision=decision, prior_correction=prior_correction))
        reasons = (classifier.explain(question).to_dict() for question in readable)
        answered = []
        for row, question in zip(chunk, questions, strict=True):
            if not isinstance(question, Question):
                answered.append(_answer(row, question_name, str(question)))
                continue
            reason = {"explanation": next(reasons)} if explain else {}
            answered.append(_answer(row, question_name, next(answers), reason))
        yield answered


def _answer(row: Row, question_name: str, found: Prediction | str, reason: Row | None = None) -> Row:
    if isinstance(found, Prediction):
        answer = {**found.to_dict(), "question": row[question_name], **(reason or {})}
    else:
        empty = dict.fromkeys(("label", "score", "scores", "label_mass"))
        answer = {"question": row.get(question_name), **empty, "error": found}
    others = {key: value for key, value in row.items() if key != question_name}
    return answer | {f"input_{key}" if key in ANSWER_KEYS else key: value for key, value in others.items()}


def json_line(row: Row) -> str:
    """One JSON line; dates and the like, which parquet has and JSON has not, as text."""
    return json.dumps(row, ensure_ascii=False, default=str) + "\n"


def classify_file(
    classifier: QuestionClassifier,
    path: Path,
    output: Path,
    *,
    run: dict[str, Any],
    on_progress: Progress | None = None,
    **options: Any,
) -> int:
    """Classifies the rows of `path` into `output` (JSONL, CSV or parquet by its ending); returns their number.

    `run` is what must be the same for an interrupted run to go on: model, settings. `options` are those of
    `classify_rows`.

    Raises:
        OutputError: the output exists, is of an unknown format, cannot be written, or a part of another run is there.
        DataError: the input cannot be read.
    """
    if output.suffix.lower() not in OUTPUT_FORMATS:
        raise OutputError(f"{output} is of a kind that cannot be written; use one of {', '.join(OUTPUT_FORMATS)}.")
    check_new(output)
    part = output.with_name(f".{output.name}.part.jsonl")
    note = output.with_name(f".{output.name}.part.json")
    with writing(output):
        output.parent.mkdir(parents=True, exist_ok=True)
    kept = {key: asdict(value) if isinstance(value, Decision) else value for key, value in options.items()}
    done = _open_part(part, note, {"input": _identity(path), **kept, **run})
    if done and on_progress:
        on_progress(done)
    with writing(part), part.open("a", encoding="utf-8") as stream:
        for answers in classify_rows(classifier, path, skip=done, **options):
            stream.writelines(map(json_line, answers))
            stream.flush()
            os.fsync(stream.fileno())
            done += len(answers)
            if on_progress:
                on_progress(len(answers))
    with writing(output):
        if output.suffix.lower() == ".jsonl":
            part.replace(output)
        else:
            with new_file(output) as temporary:
                (_to_csv if output.suffix.lower() == ".csv" else _to_parquet)(part, temporary)
            part.unlink()
        note.unlink(missing_ok=True)
    return done


def _identity(path: Path) -> list[Any]:
    """What tells an input from another: its place, size and time. Standard input is taken on trust."""
    if str(path) == "-" or not path.is_file():
        return [str(path)]
    facts = path.stat()
    return [str(path.absolute()), facts.st_size, facts.st_mtime_ns]


def _open_part(part: Path, note: Path, run: dict[str, Any]) -> int:
    """The number of whole answers that an earlier run of the same kind left; cuts off a half-written one."""
    with writing(part):
        if not part.is_file():
            write_json(note, run)
            return 0
    if not note.is_file() or read_json(note, OutputError) != json.loads(json.dumps(run)):
        raise OutputError(
            f"{part} was left by a run with another input, model or setting; remove it, or use another --output."
        )
    done = whole = 0
    with part.open("rb") as stream:
        for line in stream:
            if not line.endswith(b"\n"):
                break
            done += 1
            whole += len(line)
    with writing(part):
        os.truncate(part, whole)
    return done


def _part_rows(part: Path) -> Iterator[Row]:
    with part.open(encoding="utf-8") as stream:
        for line in stream:
            yield json.loads(line)


def _column_names(part: Path) -> list[str]:
    return list(dict.fromkeys(name for row in _part_rows(part) for name in row))


def _to_csv(part: Path, output: Path) -> None:
    """Lists and objects become JSON in their cell."""
    with output.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, _column_names(part))
        writer.writeheader()
        for row in _part_rows(part):
            writer.writerow(
                {
                    key: json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) else value
                    for key, value in row.items()
                }
            )


def _to_parquet(part: Path, output: Path) -> None:
    """Two passes: the first finds a schema that every chunk fits, the second writes."""
    import pyarrow
    import pyarrow.parquet

    def tables() -> Iterator[Any]:
        rows = _part_rows(part)
        while chunk := list(islice(rows, 4096)):
            yield pyarrow.Table.from_pylist([_by_name(row, names) for row in chunk])

    names = _column_names(part)
    schema = None
    for table in tables():
        schema = (
            table.schema
            if schema is None
            else pyarrow.unify_schemas([schema, table.schema], promote_options="permissive")
        )
    if schema is None:
        raise DataError("The input holds no rows; nothing was written.")
    with pyarrow.parquet.ParquetWriter(output, schema) as writer:
        rows = _part_rows(part)
        while chunk := list(islice(rows, 4096)):
            writer.write_table(pyarrow.Table.from_pylist(chunk, schema=schema))


def _by_name(row: Row, names: Sequence[str]) -> Row:
    return {name: row.get(name) for name in names}
