from __future__ import annotations

import csv
import io
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from subjectwise.data.csv_rows import CsvRow, check_column_names, read_csv
from subjectwise.errors import DataError


def read(text: str, delimiter: str = ",") -> list[CsvRow]:
    return list(read_csv(io.StringIO(text, newline=""), delimiter))


def cells(text: str, delimiter: str = ",") -> list[list[str]]:
    rows = read(text, delimiter)
    assert not any(row.problem for row in rows)
    return [row.cells for row in rows]


def test_cells_and_the_lines_where_rows_begin() -> None:
    rows = read('a,b\n1,"two\nlines"\n\n3,"say ""so"""\n')
    assert [(row.line, row.cells) for row in rows] == [
        (1, ["a", "b"]), (2, ["1", "two\nlines"]), (5, ["3", 'say "so"']),
    ]  # fmt: skip


def test_delimiters_and_line_ends() -> None:
    assert cells("a;b\r\n1,5;2\r\n", ";") == [["a", "b"], ["1,5", "2"]]
    assert cells("a\tb\r1\t2\r", "\t") == [["a", "b"], ["1", "2"]]


def test_whatever_csv_writes_is_read_back() -> None:
    generator = random.Random(7)
    for _ in range(200):
        table = [
            ["".join(generator.choices("ab ,;\"'\n\r\t\\é\x00", k=generator.randrange(6))) for _ in range(3)]
            for _ in range(5)
        ]
        stream = io.StringIO(newline="")
        csv.writer(stream).writerows(table)
        assert cells(stream.getvalue()) == table


def test_a_quote_that_is_never_closed_costs_one_row() -> None:
    rows = read('id,question\n1,one\n2,"two\n3,three\n4,"four, quoted"\n5,five\n')
    assert [row.problem != "" for row in rows] == [False, False, True, False, False, False]
    assert rows[2].line == 3 and rows[2].cells == []
    assert [row.cells for row in rows[3:]] == [["3", "three"], ["4", "four, quoted"], ["5", "five"]]
    assert [row.line for row in rows[3:]] == [4, 5, 6]


def test_the_line_of_the_quote_is_given_within_a_row_of_several_lines() -> None:
    _, bad, *_ = read('a,b\n"one\ntwo","three\nfour\n')
    assert bad.line == 3 and "opening quote that is not closed" in bad.problem


def test_text_behind_a_closing_quote_is_not_lost() -> None:
    _, bad, good = read('a,b\n"say" so,1\nx,2\n')
    assert bad.problem and bad.line == 2 and good.cells == ["x", "2"]
    assert cells('a "b" c,1\n') == [['a "b" c', "1"]], "quotes within an unquoted cell are text"


def test_a_quote_that_swallows_a_large_file_is_noticed_in_time() -> None:
    """What was read of it is read again, row by row; memory is bounded however long the file is."""
    read_lines = 0

    def lines(count: int) -> Iterator[str]:
        nonlocal read_lines
        yield "a,b\n"
        yield '1,"open\n'
        for number in range(count):
            read_lines += 1
            yield f"{number},{'x' * 1000}\n"

    rows = read_csv(lines(60_000))
    assert next(rows).cells == ["a", "b"]
    assert next(rows).problem
    assert 16_000 < read_lines < 20_000
    assert sum(1 for row in rows if row.cells and not row.problem) == 60_000


def test_bytes_that_are_not_utf8_cost_one_row(tmp_path: Path) -> None:
    path = tmp_path / "latin.csv"
    path.write_bytes("a\ncafé\nplain\n".encode("latin-1"))
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as lines:
        rows = list(read_csv(lines))
    assert [row.problem for row in rows] == ["", "is not UTF-8 text; convert the file first.", ""]


def test_names_of_columns() -> None:
    assert check_column_names(["", "a"], "x.csv") == ["", "a"], "the index that pandas writes"
    assert check_column_names(["a", "", ""], "x.csv") == ["a", "column_2", "column_3"], "what Excel leaves behind"
    with pytest.raises(DataError, match="x.csv has 2 columns with the name 'label'; rename all but one of them"):
        check_column_names(["question", "label", "label"], "x.csv")
