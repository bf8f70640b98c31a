import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas
import pyarrow
import pyarrow.parquet
import pytest

from helpers.faults import FAULTS
from subjectwise.data.column_names import Columns
from subjectwise.data.read_table import iterate_rows, read_examples
from subjectwise.errors import DataError

ROWS = [
    {"question": "What is a photon?", "options": ["light", "sound"], "category": "physics", "src": "book", "id": 7},
    {"question": "What is\ta tort?", "options": [], "category": "law", "src": "court", "id": 9},
]


def write(path: Path) -> Path:
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    elif path.suffix == ".parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), path)
    else:
        with path.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, list(ROWS[0]))
            writer.writeheader()
            writer.writerows({**row, "options": json.dumps(row["options"])} for row in ROWS)
    return path


@pytest.mark.parametrize("ending", [".jsonl", ".csv", ".parquet"])
def test_every_format_reads_the_same(tmp_path: Path, ending: str) -> None:
    examples = read_examples(str(write(tmp_path / f"rows{ending}")))
    assert [(e.row_id, e.question.text, e.question.options, e.label, e.source) for e in examples] == [
        ("7", "What is a photon?", ("light", "sound"), "physics", "book"),
        ("9", "What is\ta tort?", (), "law", "court"),
    ]


def test_a_folder_is_read_in_name_order(tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_text("text,label\nsecond,law\n", encoding="utf-8")
    (tmp_path / "a.jsonl").write_text('{"text": "first", "label": "math"}\n', encoding="utf-8")
    examples = read_examples(str(tmp_path))
    assert [(e.row_id, e.question.text) for e in examples] == [("0", "first"), ("1", "second")]


def test_columns_are_mapped_by_name(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("frage,fach\nWas ist ein Photon?,Physik\n", encoding="utf-8")
    assert read_examples(str(path), Columns(question="frage", label="fach"))[0].label == "Physik"
    with pytest.raises(
        DataError, match="no column for the question; it has frage, fach. Name it with --question-column"
    ):
        read_examples(str(path))
    with pytest.raises(DataError, match="has no column 'subject'"):
        read_examples(str(path), Columns(question="frage", label="subject"))


def test_control_characters_in_data_become_spaces(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"text": "a\x00b", "label": "l\x07w"}) + "\n", encoding="utf-8")
    [example] = read_examples(str(path))
    assert (example.question.text, example.label) == ("a b", "l w")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "has no rows"),
        ('{"text": "a", "label": ""}\n', "row 1 has no label"),
        ('{"text": " ", "label": "law"}\n', "row 1: The question is empty"),
        ('{"text": "a", "label": "law"}\n{"text": "b"}\n', "row 2 has no column 'label'"),
        ('{"text": "a", "label": "law", "id": 1}\n{"text": "b", "label": "law", "id": 1}\n', "duplicate row id '1'"),
        ('{"text": "a"\n', "line 1 is not JSON"),
        ("[1]\n", "line 1 is not a JSON object"),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, text: str, part: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=part):
        read_examples(str(path))


def test_bad_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("text,label\na,law,more\n", encoding="utf-8")
    (tmp_path / "latin.csv").write_bytes("text,label\ncaf\u00e9,law\n".encode("latin-1"))
    (tmp_path / "rows.parquet").write_bytes(b"not parquet")
    (tmp_path / "rows.xlsx").write_bytes(b"")
    (tmp_path / "empty").mkdir()
    for name, part in [
        ("rows.csv", "line 2 has 3 cells where the header has 2 columns"),
        ("latin.csv", "not UTF-8"),
        ("rows.parquet", "as parquet"),
        ("rows.xlsx", "unknown format"),
        ("empty", "has no parquet"),
        ("missing.csv", "Unknown file"),
    ]:
        with pytest.raises(DataError, match=part):
            read_examples(str(tmp_path / name))


def test_a_hub_name_while_offline_is_one_sentence() -> None:
    with pytest.raises(DataError, match="could not be downloaded from the Hub"):
        read_examples("nobody/nothing-of-the-kind")


def test_rows_are_plain_dictionaries(tmp_path: Path) -> None:
    path = tmp_path / "q.txt"
    path.write_text("one\n\n two \n", encoding="utf-8")
    assert list(iterate_rows(path)) == [{"question": "one"}, {"question": "two"}]
    (tmp_path / "q.jsonl").write_text('{"a": 1}\n{\n', encoding="utf-8")
    with pytest.raises(DataError, match="q.jsonl, line 2 is not JSON"):
        list(iterate_rows(tmp_path / "q.jsonl"))


def test_missing_values_are_missing() -> None:
    """NaN was the class `nan`, and a question of that text."""
    with pytest.raises(DataError, match="nan.jsonl, row 1 has no label"):
        read_examples(str(FAULTS / "nan.jsonl"))


@pytest.mark.parametrize("missing", [None, float("nan"), "<NA>"])
@pytest.mark.parametrize("ending", [".jsonl", ".csv", ".parquet"])
def test_missing_values_are_missing_in_every_format(tmp_path: Path, ending: str, missing: object) -> None:
    """As pandas has a column of whole numbers in which one is missing: 1.0, 2.0, NaN; or 1, 2, <NA>."""
    path = tmp_path / f"rows{ending}"
    for column in ("question", "label", "src", "id"):
        rows: list[dict[str, Any]] = [
            {"question": f"question {number}", "label": float(number), "src": float(number), "id": float(number)}
            for number in range(3)
        ]
        rows[2][column] = missing
        if ending == ".jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        else:
            rows[2][column] = None if missing == "<NA>" else missing
            frame = pandas.DataFrame(rows)
            if ending == ".csv":
                frame.convert_dtypes().to_csv(path, index=False, na_rep="" if missing is None else str(missing))
            else:
                (frame.convert_dtypes() if missing == "<NA>" else frame).to_parquet(path)
        if column == "src":
            examples = read_examples(str(path))
            assert [(row.label, row.source, row.row_id) for row in examples] == [
                ("0", "0", "0"), ("1", "1", "1"), ("2", "", "2"),
            ], "whole numbers stay whole"  # fmt: skip
        else:
            wanted = {"question": "row 3: The question is", "label": "row 3 has no label", "id": "row 3 has no id"}
            with pytest.raises(DataError, match=wanted[column]):
                read_examples(str(path))


def test_a_struct_is_not_a_question() -> None:
    """It was trained on as "{'text': …}"."""
    with pytest.raises(DataError, match=r"nestedq.parquet, row 1: A question must be text, not an object"):
        read_examples(str(FAULTS / "nestedq.parquet"))


def test_options_as_pandas_writes_them() -> None:
    examples = read_examples(str(FAULTS / "pyopts.csv"))
    assert {row.question.options for row in examples} == {("red", "green")}
    ignored = read_examples(str(FAULTS / "pyopts.csv"), Columns(ignore_options=True))
    assert {row.question.options for row in ignored} == {()}


def test_duplicate_ids_name_the_columns_that_would_do() -> None:
    columns = Columns(label="sentiment")
    part = "duplicate row id '10' in the column 'id'. Name another with --row-id-column; annotation_id would do."
    with pytest.raises(DataError, match=re.escape(part)):
        read_examples(str(FAULTS / "labelstudio.csv"), columns)
    examples = read_examples(str(FAULTS / "labelstudio.csv"), replace(columns, row_id="annotation_id"))
    assert [row.row_id for row in examples] == ["1", "2", "3"]


def test_duplicate_ids_where_no_column_would_do(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("id,text,label,weight\n1,a,law,0.5\n1,b,law,0.7\n", encoding="utf-8")
    with pytest.raises(DataError, match="Give each row an id of its own"):
        read_examples(str(path))


def test_columns_that_only_some_rows_of_json_have(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "a", "label": "law"}\n{"text": "b", "label": "law", "options": ["x"], "src": "s"}\n')
    examples = read_examples(str(path))
    assert [(row.question.options, row.source) for row in examples] == [((), ""), (("x",), "s")], "none is ignored"
    with pytest.raises(DataError, match="has no column 'book' in any row"):
        read_examples(str(path), Columns(source="book"))
    path.write_text('{"text": "a", "label": "law"}\n{"text": "b", "label": "law", "id": 7}\n')
    with pytest.raises(DataError, match="row 2 has the id column 'id', which the rows before it lack"):
        read_examples(str(path))


def test_the_second_of_two_equal_columns_is_not_read_over_the_first() -> None:
    with pytest.raises(DataError, match="dupcols.csv has 2 columns with the name 'label'"):
        read_examples(str(FAULTS / "dupcols.csv"))


def test_a_file_with_semicolons() -> None:
    path = str(FAULTS / "semicolon.csv")
    with pytest.raises(DataError, match="looks separated by semicolons; give --delimiter ';'"):
        read_examples(path)
    assert [row.label for row in read_examples(path, delimiter=";")] == ["law", "biology"]


def test_examples_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("text,label\na,law\nb,law\n"))
    assert [row.question.text for row in read_examples("-")] == ["a", "b"]
    monkeypatch.setattr("sys.stdin", io.StringIO("id,text,label\n1,a,law\n1,b,law\n"))
    with pytest.raises(DataError, match="standard input, row 2|-, row 2: duplicate row id '1'"):
        read_examples("-")


def test_replaced_characters_are_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "cut \\ud83d", "label": "law"}\n{"text": "b", "label": "law"}\n', encoding="utf-8")
    assert read_examples(str(path))[0].question.text == "cut \ufffd"
    assert "1 rows had characters that cannot be stored" in caplog.text
