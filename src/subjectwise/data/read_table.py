"""Labelled examples from a file, a folder of files or the Hub. Knows what cells mean; knows nothing about splits."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from subjectwise.data.cell_values import read_name, read_question
from subjectwise.data.column_names import Columns, find_column
from subjectwise.data.table_formats import DATA_FORMATS, TEXT_FORMATS, TableRow, is_stream, open_table
from subjectwise.errors import DataError, QuestionError
from subjectwise.records import Example
from subjectwise.types import Row
from subjectwise.utils.hub_download import is_hub_name
from subjectwise.utils.optional_dependencies import require

MMLU_PRO = "TIGER-Lab/MMLU-Pro"

_DECIMAL = re.compile(r"-?\d*\.\d+")
_log = logging.getLogger(__name__)


def iterate_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of one table; see `open_table`.

    Raises:
        DataError: as for `open_table`, or a row cannot be read (its line is given).
    """
    table = open_table(path)
    yield from (_cells(row, table.location) for row in table.rows)


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


def source_rows(source: str, delimiter: str = "") -> Iterator[tuple[str, TableRow]]:
    """Yield (location, row) for a file, a stream, a folder of files (in name order) or a data set on the Hub.

    Args:
        source: of the rows.
        delimiter: between the cells of CSV; "" for a comma.
    """
    path = Path(source)
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in DATA_FORMATS)
        if not files:
            raise DataError(f"The folder {source} has no parquet, JSONL or CSV file.")
        for file in files:
            yield from ((str(file), row) for row in open_table(file, delimiter=delimiter).rows)
    elif is_stream(path) or path.suffix.lower() in TEXT_FORMATS or path.exists():
        yield from ((source, row) for row in open_table(path, delimiter=delimiter).rows)
    elif is_hub_name(source):
        yield from ((source, TableRow(number, row)) for number, row in enumerate(_hub_rows(source), start=1))
    else:
        raise DataError(
            f"Unknown file or folder {source}; give an existing one, or owner/name of a data set on the Hub."
        )


def read_examples(source: str, columns: Columns = Columns(), delimiter: str = "") -> list[Example]:
    """Read all labelled rows of `source`. Without an id column a row's id is its index.

    Args:
        source: a file, a folder of files, or a data set on the Hub.
        columns: names of the columns, where they are not the usual ones.
        delimiter: between the cells of CSV; "" for a comma.

    Raises:
        DataError: no rows, a missing column, a row without question or label, or a duplicate row id.
    """
    examples: list[Example] = []
    names: dict[str, str] = {}
    seen: set[str] = set()
    replaced = 0
    for location, row in source_rows(source, delimiter):
        cells = _cells(row, location)
        where = f"{location}, row {row.number}"
        _find_columns(names, cells, columns, location, where)
        example = _read_example(cells, names, str(len(examples)), where)
        if example.row_id in seen:
            advice = _id_advice(source, names, delimiter)
            raise DataError(f"{where}: duplicate row id {example.row_id!r} in the column {names['row_id']!r}. {advice}")
        seen.add(example.row_id)
        examples.append(example)
        replaced += row.replaced
    if not examples:
        raise DataError(f"{source} has no rows.")
    for role in ("options", "source"):
        if columns.given(role) and not names[role] and not (role == "options" and columns.ignore_options):
            raise DataError(f"{source} has no column {columns.given(role)!r} in any row.")
    if replaced:
        _log.warning("%s: %d rows had characters that cannot be stored; each is now \ufffd.", source, replaced)
    return examples


def _cells(row: TableRow, location: str) -> Row:
    """Return the cells of a row; raise DataError where it cannot be read."""
    if row.problem:
        raise DataError(f"{location}, {row.problem}")
    return row.cells


def _find_columns(names: dict[str, str], cells: Row, columns: Columns, location: str, where: str) -> None:
    """Add to `names` the column of each role: of options and source where they occur, of the others in the first row.

    Rows of JSON may have columns that the rows before them lack.
    """
    present = list(cells)
    if not names:
        for role in ("question", "label", "row_id"):
            names[role] = find_column(present, role, columns.given(role), location, required=role != "row_id")
    elif not names["row_id"] and (late := find_column(present, "row_id", "", location, required=False)):
        raise DataError(f"{where} has the id column {late!r}, which the rows before it lack; give each row an id.")
    for role in ("options", "source"):
        if not names.get(role):
            given = columns.given(role)
            usual = "" if given else find_column(present, role, "", location, required=False)
            names[role] = given if given in cells else usual
    if columns.ignore_options:
        names["options"] = ""


def _read_example(cells: Row, names: dict[str, str], index: str, where: str) -> Example:
    for role in ("question", "label", "row_id"):
        if names[role] and names[role] not in cells:
            raise DataError(f"{where} has no column {names[role]!r}.")
    # Roles without a column are left out: a column may have no name, as the index that pandas writes.
    values = {role: cells.get(name) for role, name in names.items() if name}
    with _named_row(where):
        label = read_name(values["label"], "label")
        row_id = read_name(values["row_id"], "row id") if "row_id" in values else index
        source = read_name(values.get("source"), "source")
    if not label:
        raise DataError(f"{where} has no label.")
    if not row_id:
        raise DataError(f"{where} has no id in the column {names['row_id']!r}.")
    with _named_row(where):
        return Example(row_id, read_question(values["question"], values.get("options")), label, source)


@contextmanager
def _named_row(where: str) -> Iterator[None]:
    """Add to an error where the row is."""
    try:
        yield
    except (QuestionError, DataError) as error:
        raise DataError(f"{where}: {error}") from error


def _id_advice(source: str, names: dict[str, str], delimiter: str) -> str:
    """Return what to do about duplicate ids: the columns that have another value in every row."""
    values: dict[str, set[str]] = {}
    excluded = {*names.values()}
    for _, row in () if is_stream(Path(source)) else source_rows(source, delimiter):
        for name, value in row.cells.items():
            if name in excluded:
                continue
            text = "" if isinstance(value, (dict, list, bytes)) else read_name(value, name)
            known = values.setdefault(name, set())
            if not text or text in known or _DECIMAL.fullmatch(text):
                excluded.add(name)
            known.add(text)
    good = sorted((name for name in values if name not in excluded), key=lambda name: "id" not in name.lower())
    if not good:
        return "Give each row an id of its own."
    return f"Name another with --row-id-column; {' or '.join(good[:3])} would do."
