"""Which labels of a row are fair, and which rows have none."""

from __future__ import annotations

from subjectwise.records import Example, Question
from subjectwise.statistics.fair_labels import fair_labels, rows_in_scope

ROWS = [
    Example("1", Question("What?"), "law", also=("math", "no label of the model")),
    Example("2", Question("Why?"), "math"),
    Example("3", Question("Hello!"), "none"),
]


def test_labels_that_are_as_fair() -> None:
    assert fair_labels(ROWS, ["law", "math"]).tolist() == [[True, True], [False, True], [False, False]]
    assert fair_labels([], ["law", "math"]).shape == (0, 2)


def test_requests_of_no_label() -> None:
    assert rows_in_scope(ROWS, ["law", "math"]).tolist() == [True, True, False]
    assert rows_in_scope(ROWS, ["law", "none"]).tolist() == [True, True, True]
