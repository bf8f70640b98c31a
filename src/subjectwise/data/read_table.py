"""Rows from a file, a folder of files, standard input or the Hub, one by one, and labelled examples from them.

Knows file formats; knows nothing about splits.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from subjectwise.data.column_names import USUAL_NAMES, Columns, find_column
from subjectwise.errors import DataError, QuestionError
from subjectwise.records import CONTROL_CHARACTERS, Example, Question
from subjectwise.types import Row
from subjectwise.utils.optional_dependencies import require

MMLU_PRO = "TIGER-Lab/MMLU-Pro"
DATA_FORMATS = (".parquet", ".jsonl", ".csv")
TEXT_FORMATS = (".txt", *DATA_FORMATS)


def iterate_rows(path: Path, skip: int = 0) -> Iterator[Row]:
    """Yield the rows of one TXT, JSONL, CSV or parquet file, or of standard input where `path` is "-".

    Memory does not grow with the file. Standard input is read as JSON lines where its first line is a JSON
    object, else as plain lines. In a text file each line that is not blank is a question.

    Args:
        path: of the file.
        skip: how many rows to leave out at the start.

    Raises:
        DataError: the file is missing, of another format, not UTF-8, or has a malformed line (the number is given).
    """
    rows = _open_rows(path)
    for _ in range(skip):
        if next(rows, None) is None:
            return
    yield from rows


def _open_rows(path: Path) -> Iterator[Row]:
    if str(path) == "-":
        return _stdin_rows()
    if not path.is_file():
        raise DataError(f"Unknown file {path}; give an existing file.")
    readers: dict[str, Callable[[Path], Iterator[Row]]] = {
        ".txt": _text_file,
        ".jsonl": _jsonl_file,
        ".csv": _csv_file,
        ".parquet": _parquet_file,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"Cannot read {path}: unknown format. Use one of {', '.join(TEXT_FORMATS)}.")
    return reader(path)


def _stdin_rows() -> Iterator[Row]:
    with _utf8("standard input"):
        for line in sys.stdin:
            if line.strip():
                break
        else:
            return
        lines = _chain_line(line, sys.stdin)
        yield from _json_lines(lines, "standard input") if line.lstrip().startswith("{") else _text_lines(lines)


def _chain_line(first: str, rest: IO[str]) -> Iterator[str]:
    yield first
    yield from rest


@contextmanager
def _utf8(location: str) -> Iterator[None]:
    try:
        yield
    except UnicodeDecodeError as error:
        raise DataError(f"{location} is not UTF-8 text (byte {error.start}); convert it first.") from error


def _text_lines(lines: Iterator[str]) -> Iterator[Row]:
    for line in lines:
        if line.strip():
            yield {"question": line.strip()}


def _text_file(path: Path) -> Iterator[Row]:
    with _utf8(str(path)), path.open(encoding="utf-8-sig") as lines:
        yield from _text_lines(lines)


def _json_lines(lines: Iterator[str], location: str) -> Iterator[Row]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f"{location}, line {number} is not JSON: {error.msg}.") from error
        if not isinstance(row, dict):
            raise DataError(f"{location}, line {number} is not a JSON object with columns.")
        yield row


def _jsonl_file(path: Path) -> Iterator[Row]:
    with _utf8(str(path)), path.open(encoding="utf-8-sig") as lines:
        yield from _json_lines(lines, str(path))


def _csv_file(path: Path) -> Iterator[Row]:
    csv.field_size_limit(2**31 - 1)
    with _utf8(str(path)), path.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.DictReader(lines)
        for row in reader:
            if None in row:
                raise DataError(f"{path}, line {reader.line_num} has more cells than the header has columns.")
            yield row


def _parquet_file(path: Path) -> Iterator[Row]:
    import pyarrow
    import pyarrow.parquet

    try:
        for batch in pyarrow.parquet.ParquetFile(path).iter_batches(batch_size=1024):
            yield from batch.to_pylist()
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise DataError(f"Cannot read {path} as parquet: {str(error).splitlines()[0]}") from error


def known_row_count(path: Path) -> int | None:
    """Return the number of rows where the format says it without reading them all; else None."""
    if path.suffix.lower() != ".parquet" or not path.is_file():
        return None
    import pyarrow.parquet

    try:
        return int(pyarrow.parquet.read_metadata(path).num_rows)
    except (OSError, pyarrow.ArrowInvalid):
        return None


def _hub_rows(name: str) -> Iterator[Row]:
    datasets = require("datasets", "train")
    try:
        # MMLU-Pro's `test` split has the questions; its `validation` split is 70 worked examples.
        parts = datasets.load_dataset(name)
    except Exception as error:
        raise DataError(
            f"Cannot load the data set {name}: it is not a file or folder here, and could not be downloaded from the "
            f"Hub ({type(error).__name__}). Download it, or give a parquet, JSONL or CSV file."
        ) from error
    yield from parts["test" if "test" in parts else next(iter(parts))]


def source_rows(source: str) -> Iterator[tuple[str, Row]]:
    """Yield (location, row) for a file, a folder of files (in name order) or the name of a data set on the Hub."""
    path = Path(source)
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in DATA_FORMATS)
        if not files:
            raise DataError(f"The folder {source} has no parquet, JSONL or CSV file.")
        for file in files:
            yield from ((str(file), row) for row in iterate_rows(file))
    elif path.suffix.lower() in TEXT_FORMATS or path.exists():
        yield from ((source, row) for row in iterate_rows(path))
    else:
        yield from ((source, row) for row in _hub_rows(source))


def read_options(value: object, location: str) -> tuple[str, ...]:
    """Return answer options from a list, or from text with a JSON list (as in a CSV cell); () where it is empty."""
    if value is None or value == "":
        return ()
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except json.JSONDecodeError:
            raise DataError(
                f"{location}: the options are neither a list nor a JSON list: {str(value)[:60]!r}."
            ) from None
    if not isinstance(value, list):
        raise DataError(f"{location}: the options must be a list, not {type(value).__name__}.")
    return tuple(str(option) for option in value)


def clean_text(text: object) -> str:
    """Return `text` with each control character, which some exam books have, replaced by a space."""
    return CONTROL_CHARACTERS.sub(" ", "" if text is None else str(text))


def read_examples(source: str, columns: Columns = Columns()) -> list[Example]:
    """Read all labelled rows of `source`, cleaned. Without an id column a row's id is its index.

    Args:
        source: a file, a folder of files, or a data set on the Hub.
        columns: names of the columns, where they are not the usual ones.

    Raises:
        DataError: no rows, a missing column, a row without question or label, or a duplicate row id.
    """
    examples: list[Example] = []
    mapping: Mapping[str, str] = {}
    seen: set[str] = set()
    for number, (location, row) in enumerate(source_rows(source)):
        if not mapping:
            given = vars(columns)
            needed = ("question", "label")
            mapping = {
                role: find_column(list(row), role, given[role], location, role in needed) for role in USUAL_NAMES
            }
        where = f"{location}, row {number + 1}"
        for role in ("question", "label"):
            if mapping[role] not in row:
                raise DataError(f"{where} has no column {mapping[role]!r}.")
        label = clean_text(row[mapping["label"]]).strip()
        if not label:
            raise DataError(f"{where} has no label.")
        try:
            options = read_options(row.get(mapping["options"]), where)
            question = Question(clean_text(row[mapping["question"]]), tuple(clean_text(option) for option in options))
        except QuestionError as error:
            raise DataError(f"{where}: {error}") from error
        row_id = str(row[mapping["row_id"]]) if mapping["row_id"] else str(number)
        if row_id in seen:
            raise DataError(f"{where}: duplicate row id {row_id!r}.")
        seen.add(row_id)
        examples.append(Example(row_id, question, label, str(row.get(mapping["source"]) or "")))
    if not examples:
        raise DataError(f"{source} has no rows.")
    return examples
