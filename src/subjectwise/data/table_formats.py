"""The rows of one table, whatever it comes as: TXT, JSONL, CSV, parquet, or a stream that says which by its first line.

A row that cannot be read is yielded with its problem, so that whoever reads decides whether to go on.
"""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TextIO

from subjectwise.data.column_names import DELIMITERS, USUAL_NAMES
from subjectwise.data.csv_rows import NOT_UTF8, check_column_names, has_undecodable, read_csv
from subjectwise.errors import DataError
from subjectwise.types import Row
from subjectwise.utils.clean_text import replace_surrogates
from subjectwise.utils.optional_dependencies import require

DATA_FORMATS = (".parquet", ".jsonl", ".csv")
TEXT_FORMATS = (".txt", *DATA_FORMATS)
STANDARD_INPUT = Path("-")

# The cell of a header: up to three words, as hardly a part of a question between two commas is; and what none is.
_HEADER_CELL = re.compile(r"[^\W\d]\w*(?:[ .-]\w+){0,2}")
_SENTENCE = re.compile(r"[?!.]\s*$|(\S+\s+){5}")


@dataclass(frozen=True)
class TableRow:
    """One row.

    Attributes:
        number: from 1; a row that cannot be read counts.
        cells: by column; empty where the row cannot be read.
        problem: what is wrong with it, as in "line 3 is not JSON: …"; "" where nothing is.
        replaced: whether it had text that UTF-8 cannot store, which was replaced.
    """

    number: int
    cells: Row
    problem: str = ""
    replaced: bool = False


@dataclass(frozen=True)
class Table:
    """A table, opened.

    Attributes:
        location: for messages.
        rows: in their order, to be read once.
        columns: its header; () where the format has none, as JSONL.
        row_count: None where the format does not say it.
    """

    location: str
    rows: Iterator[TableRow] = field(repr=False)
    columns: tuple[str, ...] = ()
    row_count: int | None = None


def is_stream(path: Path) -> bool:
    """Return whether `path` can be read only once: standard input ("-"), a pipe, or a descriptor as /dev/fd/63."""
    descriptor = not path.suffix and path.parts[:2] == ("/", "dev")
    return path == STANDARD_INPUT or (path.exists() and not path.is_dir() and (descriptor or not path.is_file()))


def open_table(path: Path, *, delimiter: str = "", question_column: str = "") -> Table:
    """Open a TXT, JSONL, CSV or parquet file by its extension, or a stream by what it begins with.

    Memory does not grow with the table. In text each line that is not blank is a question. A stream is JSON lines where
    it begins with an object, CSV where its first line is a header with a column for the question, else text.

    Args:
        path: of the file; "-" for standard input.
        delimiter: between the cells of CSV; "" for a comma. With one, a stream is CSV.
        question_column: by which the header of a stream is recognised, beside the usual names.

    Raises:
        DataError: the file is missing, of another format, or has a header that cannot be used; or a stream is a kind
            of table that cannot be read as one.
    """
    if is_stream(path):
        return _open_stream(path, delimiter, question_column)
    if not path.is_file():
        raise DataError(f"Unknown file {path}; give an existing file.")
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return _open_parquet(path)
    if suffix not in TEXT_FORMATS:
        raise DataError(f"Cannot read {path}: unknown format. Use one of {', '.join(TEXT_FORMATS)}.")
    lines = _file_lines(path)
    if suffix == ".csv":
        return _open_csv(str(path), lines, delimiter)
    return _TEXT_READERS[suffix](str(path), lines)


def _file_lines(path: Path) -> Iterator[str]:
    """Yield lines with their ends; bytes that are not UTF-8 become surrogates, and are the problem of their line."""
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as lines:
        yield from lines


def _open_stream(path: Path, delimiter: str, question_column: str) -> Table:
    location = "standard input" if path == STANDARD_INPUT else str(path)
    lines = _stdin_lines(sys.stdin) if path == STANDARD_INPUT else _file_lines(path)
    first = next((line for line in lines if line.strip()), "")
    begun = chain([first], lines)
    text = first.strip()
    if text.startswith("PAR1") or path.suffix.lower() == ".parquet":
        raise DataError(f"Cannot read {location}: parquet is not read from a stream. Save it as a file.")
    if re.match(r"\[\s*(\{|$)", text):
        raise DataError(
            f"{location} looks like a JSON array; write one object per line (JSON lines), as `jq -c '.[]'` does."
        )
    if re.match(r'\{\s*("|\}|$)', text):
        return _open_json_lines(location, begun)
    if delimiter:
        return _open_csv(location, begun, delimiter)
    names = {*USUAL_NAMES["question"], question_column} - {""}
    splits = {separator: _split(text, separator) for separator in DELIMITERS}
    if any(names.intersection(cells) and not any(map(_SENTENCE.search, cells)) for cells in splits.values()):
        return _open_csv(location, begun, "")
    for separator, cells in splits.items():
        if len(cells) > 1 and all(map(_HEADER_CELL.fullmatch, cells)):
            second = next(lines, "")
            if len(_split(second.strip(), separator)) == len(cells):
                raise DataError(
                    f"{location} looks like CSV with the columns {', '.join(cells)}; name that of the question with "
                    "--question-column. Are its lines questions, save them as a .txt file."
                )
            begun = chain([first, second], lines)
            break
    return _open_text(location, begun)


def _stdin_lines(stream: TextIO) -> Iterator[str]:
    if isinstance(stream, io.TextIOWrapper):
        # Whatever the locale says, so that the same bytes are the same questions everywhere.
        stream.reconfigure(encoding="utf-8-sig", errors="surrogateescape", newline="")
    for number, line in enumerate(stream):
        yield line if number else line.removeprefix("\ufeff")


def _split(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:  # longer than any cell of a table, or with a carriage return inside
        return [line]


def _open_text(location: str, lines: Iterator[str]) -> Table:
    def rows() -> Iterator[TableRow]:
        number = 0
        for line_number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            number += 1
            if has_undecodable(line):
                yield TableRow(number, {}, f"line {line_number} {NOT_UTF8}")
            else:
                yield TableRow(number, {"question": line.strip()})

    return Table(location, rows(), ("question",))


def _open_json_lines(location: str, lines: Iterator[str]) -> Table:
    def rows() -> Iterator[TableRow]:
        number = 0
        for line_number, line in enumerate(lines, start=1):
            if line.strip():
                number += 1
                yield _json_row(number, line_number, line)

    return Table(location, rows())


def _json_row(number: int, line_number: int, line: str) -> TableRow:
    if has_undecodable(line):
        return TableRow(number, {}, f"line {line_number} {NOT_UTF8}")
    try:
        cells = json.loads(line, strict=False, object_pairs_hook=_unique_keys)  # control characters are cleaned later
    except json.JSONDecodeError as error:
        return TableRow(number, {}, f"line {line_number} is not JSON: {error.msg}.")
    # A key that occurs twice, a number of thousands of digits, thousands of nested lists.
    except (ValueError, RecursionError) as error:
        return TableRow(number, {}, f"line {line_number} cannot be read: {error}.")
    if not isinstance(cells, dict):
        return TableRow(number, {}, f"line {line_number} is not a JSON object with columns.")
    if "\\u" not in line:
        return TableRow(number, cells)
    text = json.dumps(cells, ensure_ascii=False)
    stored = replace_surrogates(text)
    return TableRow(number, cells) if stored == text else TableRow(number, json.loads(stored), replaced=True)


def _unique_keys(pairs: list[tuple[str, object]]) -> Row:
    cells = dict(pairs)
    if len(cells) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} occurs more than once")
    return cells


def _open_csv(location: str, lines: Iterator[str], delimiter: str) -> Table:
    records = read_csv(lines, delimiter or ",")
    header = next(records, None)
    if header is None:
        return Table(location, iter(()))
    if header.problem:
        raise DataError(f"{location}, line {header.line} {header.problem}")
    names = check_column_names([replace_surrogates(name) for name in header.cells], location)

    def rows() -> Iterator[TableRow]:
        for number, record in enumerate(records, start=1):
            problem = record.problem
            if not problem and len(record.cells) != len(names):
                problem = f"has {len(record.cells)} cells where the header has {len(names)} columns."
            if problem:
                yield TableRow(number, {}, f"line {record.line} {problem}")
            else:
                yield TableRow(number, dict(zip(names, record.cells, strict=True)))

    return Table(location, rows(), tuple(names))


def _open_parquet(path: Path) -> Table:
    pyarrow, parquet = require("pyarrow", "parquet"), require("pyarrow.parquet", "parquet")

    try:
        file = parquet.ParquetFile(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise _unreadable_parquet(path, error) from error

    def rows() -> Iterator[TableRow]:
        try:
            cells = (row for batch in file.iter_batches(batch_size=1024) for row in batch.to_pylist())
            for number, row in enumerate(cells, start=1):
                yield TableRow(number, row)
        # Text that is not UTF-8 fails where it becomes text.
        except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
            raise _unreadable_parquet(path, error) from error

    names = check_column_names(file.schema_arrow.names, str(path))
    return Table(str(path), rows(), tuple(names), file.metadata.num_rows)


def _unreadable_parquet(path: Path, error: Exception) -> DataError:
    return DataError(f"Cannot read {path} as parquet: {' '.join(str(error).split())}")


_TEXT_READERS: dict[str, Callable[[str, Iterator[str]], Table]] = {".txt": _open_text, ".jsonl": _open_json_lines}
