from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet
import pytest

from helpers.bulk import read_answers
from subjectwise.bulk import write_answers as module
from subjectwise.bulk.write_answers import check_output_format, write_answers
from subjectwise.errors import DataError, OutputError
from subjectwise.types import Row

LABELS = ("law", "math")


def written(
    path: Path, rows: Sequence[Row], encoding: str = "utf-8", header: Sequence[str] = ("question",)
) -> list[Row]:
    write_answers(lambda: iter(rows), path, path.suffix, header, LABELS, encoding)
    return read_answers(path)


def column(tmp_path: Path, values: Sequence[object]) -> list[object]:
    rows = written(tmp_path / "a.parquet", [{"a": value} for value in values])
    return [row["a"] for row in rows]


@pytest.fixture(params=[4096, 2])
def rows_at_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """All values in one chunk, or in several that have to agree on a type."""
    monkeypatch.setattr(module, "ROWS_AT_ONCE", request.param)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, "b2", None], ["1", "b2", None]),
        ([{"a": 1}, "none", [1, "é"]], ['{"a": 1}', "none", '[1, "é"]']),
        ([True, False, 3], ["true", "false", "3"]),
        ([2**70, 1, None], [str(2**70), "1", None]),
        ([1, 2, 0.5], [1.0, 2.0, 0.5]),
        ([2**53 + 1, 2, 0.5], [str(2**53 + 1), "2", "0.5"]),
        ([{}, {}, None], ["{}", "{}", None]),
        ([{"a": {}}, {"a": {"b": 1}}, None], [{"a": {"b": None}}, {"a": {"b": 1}}, None]),
        ([[{}], [], None], ["[{}]", "[]", None]),
        ([[], [], [1]], [[], [], [1]]),
        ([None, None, None], [None, None, None]),
        ([{"x": 1}, {"x": "1"}, {"x": 2}], ['{"x": 1}', '{"x": "1"}', '{"x": 2}']),
        ([[1], ["a"], [None]], ["[1]", '["a"]', "[null]"]),
    ],
)
def test_parquet_has_text_where_the_types_differ(
    rows_at_once: None, tmp_path: Path, values: list[object], expected: list[object]
) -> None:
    assert column(tmp_path, values) == expected


def test_parquet_has_every_column_of_every_row(rows_at_once: None, tmp_path: Path) -> None:
    rows = written(tmp_path / "a.parquet", [{"a": 1}, {"a": 2}, {"b": "x"}, {"a": 3, "c": 0.5}])
    assert rows == [
        {"a": 1, "b": None, "c": None}, {"a": 2, "b": None, "c": None},
        {"a": None, "b": "x", "c": None}, {"a": 3, "b": None, "c": 0.5},
    ]  # fmt: skip


def test_csv_has_json_in_the_cells_of_lists_and_objects(tmp_path: Path) -> None:
    [first, second] = written(tmp_path / "a.csv", [{"a": {"é": [1]}, "b": "x\ny"}, {"b": None, "c": 2}])
    assert json.loads(first["a"]) == {"é": [1]} and first["b"] == "x\ny"
    assert second == {"a": "", "b": "", "c": "2"}


def test_csv_begins_with_a_byte_order_mark_where_that_is_requested(tmp_path: Path) -> None:
    """Excel reads a CSV file without one in the encoding of the country; programs read the mark as part of a name."""
    written(tmp_path / "plain.csv", [{"question": "Was heißt größer?"}])
    written(tmp_path / "excel.csv", [{"question": "Was heißt größer?"}], "utf-8-sig")
    plain, excel = ((tmp_path / name).read_bytes() for name in ("plain.csv", "excel.csv"))
    assert plain.startswith(b"question\r\n") and excel == b"\xef\xbb\xbf" + plain


def test_json_lines_keep_characters_and_are_json(tmp_path: Path) -> None:
    rows: list[Row] = [{"question": "größer 什么 \x0c \u2028"}, {"n": float("inf"), "m": [float("nan")]}]
    assert written(tmp_path / "a.jsonl", rows) == [rows[0], {"n": None, "m": [None]}]  # JSON has no such numbers
    assert len((tmp_path / "a.jsonl").read_bytes().splitlines()) == 2


def test_no_rows_are_a_header(tmp_path: Path) -> None:
    header = ["question", "label", "score", "scores", "labels", "input_label", "n"]
    assert written(tmp_path / "a.csv", [], header=header) == []
    with (tmp_path / "a.csv").open(newline="") as stream:
        assert next(csv.reader(stream)) == header
    assert written(tmp_path / "a.parquet", [], header=header) == []
    schema = pyarrow.parquet.read_schema(tmp_path / "a.parquet")
    assert schema.names == header
    types = [str(kind) for kind in schema.types]
    assert types[1:5] == ["string", "double", "struct<law: double, math: double>", "list<element: string>"]
    assert written(tmp_path / "a.jsonl", []) == []


def test_formats_are_checked_before_there_are_answers() -> None:
    check_output_format(Path("a.PARQUET"), "utf-8")
    with pytest.raises(OutputError, match="Cannot write a.xlsx: unknown format. Use one of .jsonl, .csv, .parquet"):
        check_output_format(Path("a.xlsx"), "utf-8")
    with pytest.raises(DataError, match="Unknown CSV encoding 'latin-1'; choose one of utf-8, utf-8-sig"):
        check_output_format(Path("a.csv"), "latin-1")
