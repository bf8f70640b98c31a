import pytest

from subjectwise.data.column_names import find_column
from subjectwise.errors import DataError


def test_the_given_column_or_the_first_of_the_usual_names() -> None:
    assert find_column(["id", "prompt", "text"], "question", "", "x.csv") == "text"
    assert find_column(["id", "prompt", "text"], "question", "prompt", "x.csv") == "prompt"
    assert find_column(["id"], "options", "", "x.csv", required=False) == ""


def test_a_missing_column_is_named_with_those_that_there_are() -> None:
    with pytest.raises(DataError, match="x.csv has no column 'frage'; it has id, text."):
        find_column(["id", "text"], "question", "frage", "x.csv")
    with pytest.raises(DataError, match="no column for the row_id; it has a. Name it with --row-id-column"):
        find_column(["a"], "row_id", "", "x.csv")


@pytest.mark.parametrize(
    ("header", "plural", "shown"),
    [
        ("question;label", "semicolons", "';'"),
        ("id\ttext", "tabs", r"'\\t'"),
        ("id|query", "vertical bars", r"'\|'"),
        ("id;question;a, b", "semicolons", "';'"),
    ],
)
def test_another_delimiter_is_recognised(header: str, plural: str, shown: str) -> None:
    with pytest.raises(DataError, match=f"x.csv looks separated by {plural}; give --delimiter {shown}"):
        find_column(header.split(","), "question", "", "x.csv")


def test_another_delimiter_is_recognised_by_the_given_column() -> None:
    with pytest.raises(DataError, match="looks separated by semicolons"):
        find_column(["frage;fach"], "question", "frage", "x.csv")
    with pytest.raises(DataError, match="has no column 'frage'"):
        find_column(["question;fach"], "question", "frage", "x.csv")
