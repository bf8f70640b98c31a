from __future__ import annotations

import io
import os
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from helpers.faults import FAULTS
from subjectwise.data.table_formats import Table, is_stream, open_table
from subjectwise.errors import DataError
from subjectwise.types import Row

TWO = [{"question": "What is a tort?"}, {"question": "What is osmosis?"}]


def cells(table: Table) -> list[Row]:
    rows = list(table.rows)
    assert not [row.problem for row in rows if row.problem]
    assert [row.number for row in rows] == list(range(1, len(rows) + 1))
    return [row.cells for row in rows]


def written(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def from_stdin(
    monkeypatch: pytest.MonkeyPatch, text: str | bytes, question_column: str = "", delimiter: str = ""
) -> Table:
    data = text if isinstance(text, bytes) else text.encode()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data), encoding="latin-1"))
    return open_table(Path("-"), question_column=question_column, delimiter=delimiter)


def test_a_table_says_its_columns_and_the_number_of_rows_where_it_knows_them(tmp_path: Path) -> None:
    path = tmp_path / "q.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([{"text": "a", "n": 1}]), path)
    assert (open_table(path).columns, open_table(path).row_count) == (("text", "n"), 1)
    csv = open_table(FAULTS / "gold.csv")
    assert (csv.columns, csv.row_count) == (("question", "label", "score"), None)
    assert open_table(written(tmp_path / "q.jsonl", '{"a": 1}\n')).columns == ()
    assert open_table(written(tmp_path / "q.txt", "a\n")).columns == ("question",)


def test_a_header_without_rows() -> None:
    table = open_table(FAULTS / "header_only.csv")
    assert table.columns == ("question", "label") and cells(table) == []


def test_files_without_a_character(tmp_path: Path) -> None:
    for name in ("q.csv", "q.jsonl", "q.txt"):
        assert cells(open_table(written(tmp_path / name, ""))) == []


@pytest.mark.parametrize("name", ["bom.csv", "bom.jsonl"])
def test_a_byte_order_mark_is_not_part_of_the_first_name(name: str) -> None:
    assert list(cells(open_table(FAULTS / name))[0]) == (["question", "id"] if name == "bom.csv" else ["question"])


def test_a_line_that_is_not_json_costs_one_row(tmp_path: Path) -> None:
    good, bad = open_table(FAULTS / "trailing_garbage.jsonl").rows
    assert good.cells == {"question": "What is a tort?"}
    assert bad.cells == {} and bad.problem == "line 2 is not JSON: Unterminated string starting at."
    lines = ["[1]", '"text"', "{", '{"a": 1, "a": 2}', '{"a": ' + "1" * 5000 + "}", "[" * 100_000, '{"a": 1} x']
    path = written(tmp_path / "q.jsonl", "".join(f"{line}\n\n" for line in lines) + '{"a": 1}')
    *rows, last = open_table(path).rows
    assert [row.problem[:7] for row in rows] == [f"line {number}" + " " * (number < 10) for number in range(1, 14, 2)]
    assert "not a JSON object" in rows[0].problem and "key 'a' occurs more than once" in rows[3].problem
    assert last.cells == {"a": 1}


def test_latex_in_json_is_kept_as_json_reads_it() -> None:
    """`\\f` is a form feed there; a question makes a space of it, and the cell stays as it is."""
    first, second = cells(open_table(FAULTS / "latex.jsonl"))
    assert first["question"] == "Evaluate \x0crac{1}{2} + \x08eta for \theta = 0"
    assert second["question"] == "What is osmosis?"


def test_raw_control_characters_in_json_are_read(tmp_path: Path) -> None:
    assert cells(open_table(written(tmp_path / "q.jsonl", '{"text": "a\tb\x0c"}\n'))) == [{"text": "a\tb\x0c"}]


def test_text_that_cannot_be_stored_is_replaced_and_noted() -> None:
    first, second = open_table(FAULTS / "surrogate_other.jsonl").rows
    assert first.cells == {"question": "What is a tort?", "user": "cut \ufffd"} and first.replaced
    assert second.cells == {"question": "What is osmosis?", "user": "ok"} and not second.replaced


def test_surrogates_are_replaced_at_any_depth_and_whole_characters_stay(tmp_path: Path) -> None:
    text = '{"a": ["\\ud83d", {"k\\udc00": 1}], "b": "\\ud83d\\ude00", "n": NaN, "big": 12345678901234567890}\n'
    [row] = open_table(written(tmp_path / "q.jsonl", text)).rows
    assert row.cells["a"] == ["\ufffd", {"k\ufffd": 1}] and row.cells["b"] == "\U0001f600" and row.replaced
    assert row.cells["big"] == 12345678901234567890
    [row] = open_table(written(tmp_path / "q.jsonl", '{"b": "\\ud83d\\ude00"}\n')).rows
    assert not row.replaced


def test_rows_with_other_cells_than_the_header() -> None:
    first, bad, last = open_table(FAULTS / "commas.csv").rows
    assert bad.problem == "line 3 has 3 cells where the header has 1 columns." and bad.cells == {}
    assert (first.cells, last.cells) == (TWO[0], TWO[1])


def test_a_quote_that_is_not_closed() -> None:
    rows = list(open_table(FAULTS / "badquote.csv").rows)
    assert [row.cells.get("id") for row in rows] == ["1", None, "3", "4", "5"]
    assert rows[1].problem == "line 3 has an opening quote that is not closed where its cell ends."


def test_bytes_that_are_not_utf8_cost_one_row(tmp_path: Path) -> None:
    for name, text in (
        ("q.txt", "a\ncafé\nb\n"),
        ("q.jsonl", '{"a": 1}\n{"a": "é"}\n{"a": 3}\n'),
        ("q.csv", "a\né\nb\n"),
    ):
        rows = list(open_table(written(tmp_path / name, text.encode("latin-1"))).rows)
        assert sum("is not UTF-8 text" in row.problem for row in rows) == 1, name
        assert sum(not row.problem for row in rows) == len(rows) - 1


def test_headers_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="dupcols.csv has 2 columns with the name 'label'"):
        open_table(FAULTS / "dupcols.csv")
    with pytest.raises(DataError, match="line 1 has an opening quote that is not closed"):
        open_table(written(tmp_path / "q.csv", 'id,"question\n1,a\n'))
    with pytest.raises(DataError, match="line 1 is not UTF-8"):
        open_table(written(tmp_path / "q.csv", "frage é,b\n1,2\n".encode("latin-1")))
    table = pyarrow.Table.from_arrays([pyarrow.array([1]), pyarrow.array([2])], names=["a", "a"])
    pyarrow.parquet.write_table(table, tmp_path / "q.parquet")
    with pytest.raises(DataError, match="2 columns with the name 'a'"):
        open_table(tmp_path / "q.parquet")


def test_a_damaged_parquet_file(tmp_path: Path) -> None:
    path = tmp_path / "q.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([{"text": "some words here" * 9}] * 9), path)
    data = bytearray(path.read_bytes())
    data[4:60] = b"\xff" * 56
    with pytest.raises(DataError, match="Cannot read .*q.parquet as parquet"):
        list(open_table(written(path, bytes(data))).rows)


# Streams


def test_what_is_a_stream(tmp_path: Path) -> None:
    assert is_stream(Path("-"))
    assert not is_stream(FAULTS / "gold.csv") and not is_stream(tmp_path) and not is_stream(tmp_path / "none")


@pytest.mark.parametrize(
    "text",
    [
        '{"question": "What is a tort?"}\n{"question": "What is osmosis?"}\n',
        '\ufeff{"question": "What is a tort?"}\r\n\r\n{"question": "What is osmosis?"}\r\n',
        "question\nWhat is a tort?\nWhat is osmosis?\n",
        "\ufeffquestion\r\nWhat is a tort?\r\nWhat is osmosis?\r\n",
        '"question"\n"What is a tort?"\n"What is osmosis?"\n',
        "What is a tort?\n\nWhat is osmosis?",
        "\ufeff\n  What is a tort?\r\nWhat is osmosis?\r\n",
    ],
)
def test_a_stream_is_read_as_what_it_is(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    assert cells(from_stdin(monkeypatch, text)) == TWO


def test_csv_on_standard_input_is_never_lines_of_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cells(from_stdin(monkeypatch, 'id,text\n1,"a, b"\n')) == [{"id": "1", "text": "a, b"}]
    assert cells(from_stdin(monkeypatch, "id,frage\n1,a\n", question_column="frage")) == [{"id": "1", "frage": "a"}]
    assert cells(from_stdin(monkeypatch, "id;frage\n1;a\n", delimiter=";")) == [{"id": "1", "frage": "a"}]
    # Which is then refused with "looks separated by semicolons".
    assert from_stdin(monkeypatch, "id;text\n1;a\n").columns == ("id;text",)
    with pytest.raises(DataError, match="standard input looks like CSV with the columns id, frage; name that of"):
        from_stdin(monkeypatch, "id,frage\n1,Was ist ein Delikt?\n")


def test_questions_with_commas_are_not_csv(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["text, input and output: what is a query?", "law, or equity?", "Name one, two.", "physics"]
    for line in lines:
        assert cells(from_stdin(monkeypatch, f"{line}\nx, y\n")) == [{"question": line}, {"question": "x, y"}]


def test_a_question_that_begins_with_a_brace(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "{x | x > 3} is which set?\n[a, b] is which interval?\n"
    assert [row["question"] for row in cells(from_stdin(monkeypatch, text))] == text.splitlines()
    assert cells(from_stdin(monkeypatch, "[Physics] What is torque?\n")) == [{"question": "[Physics] What is torque?"}]


@pytest.mark.parametrize("text", ['[{"question": "a"}]', "[\n  {\n"])
def test_a_json_array_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    with pytest.raises(DataError, match="standard input looks like a JSON array; write one object per line"):
        from_stdin(monkeypatch, text)


def test_parquet_on_standard_input_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="parquet is not read from a stream. Save it as a file"):
        from_stdin(monkeypatch, (FAULTS / "nestedq.parquet").read_bytes())


def test_an_empty_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("", "\n \n"):
        assert cells(from_stdin(monkeypatch, text)) == []


def test_a_stream_that_is_not_a_text_wrapper(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO('\ufeff{"question": "a"}\n'))
    assert cells(open_table(Path("-"))) == [{"question": "a"}]


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="this system has no /dev/fd")
def test_a_pipe_of_the_shell() -> None:
    """What `--input <(printf …)` gives."""
    reading, writing = os.pipe()
    os.write(writing, b'{"question": "What is a tort?"}\n{"question": "What is osmosis?"}\n')
    os.close(writing)
    path = Path(f"/dev/fd/{reading}")
    assert is_stream(path)
    assert cells(open_table(path)) == TWO
    os.close(reading)


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="this system has no /dev/fd")
def test_a_file_that_the_shell_opened() -> None:
    with (FAULTS / "bom.jsonl").open() as stream:
        assert cells(open_table(Path(f"/dev/fd/{stream.fileno()}"))) == TWO


def test_a_first_line_longer_than_any_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    [row] = cells(from_stdin(monkeypatch, "x" * 140_000 + "\n"))
    assert len(str(row["question"])) == 140_000
