"""Answers as a CSV or parquet file, from the JSON lines in which a run collects them."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from subjectwise.errors import DataError
from subjectwise.types import Row


def write_csv(part: Path, output: Path) -> None:
    """Write the answers in `part` as CSV; lists and objects become JSON in their cell."""
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


def write_parquet(part: Path, output: Path) -> None:
    """Write the answers in `part` as parquet: one pass finds a schema that fits every chunk, a second writes."""
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
        raise DataError("The input has no rows; nothing was written.")
    with pyarrow.parquet.ParquetWriter(output, schema) as writer:
        rows = _part_rows(part)
        while chunk := list(islice(rows, 4096)):
            writer.write_table(pyarrow.Table.from_pylist(chunk, schema=schema))


def _part_rows(part: Path) -> Iterator[Row]:
    with part.open(encoding="utf-8") as stream:
        for line in stream:
            yield json.loads(line)


def _column_names(part: Path) -> list[str]:
    return list(dict.fromkeys(name for row in _part_rows(part) for name in row))


def _by_name(row: Row, names: Sequence[str]) -> Row:
    return {name: row.get(name) for name in names}
