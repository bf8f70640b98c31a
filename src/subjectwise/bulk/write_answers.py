"""Answers written as JSON lines, CSV or parquet. CSV and parquet need to know all columns before the first row."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from subjectwise.errors import DataError, OutputError
from subjectwise.types import Row
from subjectwise.utils.json_records import json_text
from subjectwise.utils.optional_dependencies import require

OUTPUT_FORMATS = (".jsonl", ".csv", ".parquet")
CSV_ENCODINGS = ("utf-8", "utf-8-sig")

# Reads all answers, each time from the first.
Answers = Callable[[], Iterator[Row]]

ROWS_AT_ONCE = 4096


def check_output_format(output: Path, csv_encoding: str) -> None:
    """Raise an error where answers cannot be written so, before they are made.

    Raises:
        OutputError: the extension is of another format.
        DataError: the encoding is not one of `CSV_ENCODINGS`.
        SubjectwiseError: pyarrow is not installed, which parquet needs.
    """
    if output.suffix.lower() not in OUTPUT_FORMATS:
        raise OutputError(f"Cannot write {output}: unknown format. Use one of {', '.join(OUTPUT_FORMATS)}.")
    if csv_encoding not in CSV_ENCODINGS:
        raise DataError(f"Unknown CSV encoding {csv_encoding!r}; choose one of {', '.join(CSV_ENCODINGS)}.")
    if output.suffix.lower() == ".parquet":
        require("pyarrow.parquet", "parquet")


def write_answers(
    answers: Answers, output: Path, suffix: str, header: Sequence[str], labels: Sequence[str], csv_encoding: str
) -> None:
    """Write all answers to `output`.

    Args:
        answers: to be read as often as the format needs.
        output: to write.
        suffix: one of `OUTPUT_FORMATS`.
        header: the columns of CSV and parquet where there are no answers.
        labels: of the model.
        csv_encoding: one of `CSV_ENCODINGS`.
    """
    if suffix == ".csv":
        _write_csv(answers, output, header, csv_encoding)
    elif suffix == ".parquet":
        _write_parquet(answers, output, header, labels)
    else:
        with output.open("w", encoding="utf-8") as stream:
            stream.writelines(map(json_line, answers()))


def json_line(row: Row) -> str:
    """Return one JSON line; what JSON lacks as null (numbers that are none) or as text (dates and the like)."""
    return json_text(row) + "\n"


def _names(answers: Answers, header: Sequence[str]) -> list[str]:
    """Return the columns of all answers, in the order in which they occur."""
    return list(dict.fromkeys(name for row in answers() for name in row)) or list(header)


def _write_csv(answers: Answers, output: Path, header: Sequence[str], encoding: str) -> None:
    """Write CSV; lists and objects become JSON in their cell."""
    with output.open("w", encoding=encoding, newline="") as stream:
        writer = csv.DictWriter(stream, _names(answers, header))
        writer.writeheader()
        for row in answers():
            writer.writerow({key: _as_text(value) if _is_nested(value) else value for key, value in row.items()})


def _write_parquet(answers: Answers, output: Path, header: Sequence[str], labels: Sequence[str]) -> None:
    """Write parquet with one type per column, which is text where the values have several."""
    pyarrow, parquet = require("pyarrow", "parquet"), require("pyarrow.parquet", "parquet")

    names = _names(answers, header)
    types = dict.fromkeys(names, pyarrow.null())
    # 1) A type that fits the values of each column; a later chunk may need another than the first.
    for rows in _chunks(answers):
        types = {name: _common_type(types[name], [row.get(name) for row in rows]) for name in names}
    # 2) Text where the values of some chunk do not fit after all, as large whole numbers among fractions.
    for rows in _chunks(answers):
        types = {name: kind if _fits(rows, name, kind) else None for name, kind in types.items()}
    if not any(True for _ in answers()):
        types = _empty_types(names, labels)
    text = {name for name, kind in types.items() if kind is None}
    schema = pyarrow.schema([(name, pyarrow.string() if name in text else types[name]) for name in names])
    # 3) The rows.
    with parquet.ParquetWriter(output, schema) as writer:
        for rows in _chunks(answers):
            columns = [[_as_text(row.get(name)) if name in text else row.get(name) for row in rows] for name in names]
            arrays = [pyarrow.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
            writer.write_table(pyarrow.Table.from_arrays(arrays, schema=schema))


def _chunks(answers: Answers) -> Iterator[list[Row]]:
    rows = answers()
    while chunk := list(islice(rows, ROWS_AT_ONCE)):
        yield chunk


def _common_type(known: Any, values: Sequence[object]) -> Any:
    """Return the parquet type of `values` and of those before, of the type `known`; None where only text fits all."""
    pyarrow = require("pyarrow", "parquet")

    if known is None:
        return None
    try:
        schemas = [pyarrow.schema([("", kind)]) for kind in (known, pyarrow.array(values).type)]
        merged = pyarrow.unify_schemas(schemas, promote_options="permissive").field(0).type
    except (pyarrow.ArrowException, OverflowError):
        return None
    return merged if _has_fields(merged) else None


def _has_fields(kind: Any) -> bool:
    """Return whether parquet can store the type: it has no struct without fields."""
    pyarrow = require("pyarrow", "parquet")

    if pyarrow.types.is_struct(kind):
        return kind.num_fields > 0 and all(_has_fields(kind.field(index).type) for index in range(kind.num_fields))
    return not pyarrow.types.is_list(kind) or _has_fields(kind.value_type)


def _fits(rows: Sequence[Row], name: str, kind: Any) -> bool:
    pyarrow = require("pyarrow", "parquet")

    try:
        return kind is not None and pyarrow.array([row.get(name) for row in rows], kind) is not None
    except (pyarrow.ArrowException, OverflowError):
        return False


def _empty_types(names: Sequence[str], labels: Sequence[str]) -> dict[str, Any]:
    """Return the types of the columns of answers where there is none; text for those of the input."""
    pyarrow = require("pyarrow", "parquet")

    number = pyarrow.float64()
    known = {
        "score": number,
        "scores": pyarrow.struct([(label, number) for label in labels]),
        "label_mass": number,
        "in_scope": number,
        "labels": pyarrow.list_(pyarrow.string()),
        "entropy": number,
    }
    return {name: known.get(name, pyarrow.string()) for name in names}


def _is_nested(value: object) -> bool:
    return isinstance(value, (dict, list))


def _as_text(value: object) -> str | None:
    """Return text as it is, and everything else as JSON."""
    return value if value is None or isinstance(value, str) else json_text(value)
