import csv
import io
import json
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from subjectwise.data.column_names import Columns
from subjectwise.data.read_table import iterate_rows, read_examples, read_options
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
    path.write_text(json.dumps({"text": "a\x00b", "label": "law"}) + "\n", encoding="utf-8")
    assert read_examples(str(path))[0].question.text == "a b"


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
        ("rows.csv", "line 2 has more cells"),
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


def test_text_lines_and_skipping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "q.txt"
    path.write_text("one\n\n two \nthree\n", encoding="utf-8")
    assert [row["question"] for row in iterate_rows(path)] == ["one", "two", "three"]
    assert [row["question"] for row in iterate_rows(path, skip=2)] == ["three"]
    assert list(iterate_rows(path, skip=9)) == []
    monkeypatch.setattr("sys.stdin", io.StringIO('\n{"text": "a"}\n{"text": "b"}\n'))
    assert [row["text"] for row in iterate_rows(Path("-"))] == ["a", "b"]
    monkeypatch.setattr("sys.stdin", io.StringIO("plain\n"))
    assert list(iterate_rows(Path("-"))) == [{"question": "plain"}]
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert list(iterate_rows(Path("-"))) == []


def test_options() -> None:
    assert read_options('["a", "b"]', "x") == ("a", "b")
    assert read_options(None, "x") == read_options("", "x") == ()
    for bad in ("a;b", '"a"', 3):
        with pytest.raises(DataError, match="options"):
            read_options(bad, "x")
