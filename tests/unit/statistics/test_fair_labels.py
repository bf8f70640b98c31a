"""Which labels of a row are fair, and which rows have none."""

from __future__ import annotations

import pytest

from subjectwise.errors import DataError
from subjectwise.labels import LabelSet
from subjectwise.records import Example, Question
from subjectwise.statistics.fair_labels import class_indices, fair_labels, questions_in_scope, rows_in_scope

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
    assert questions_in_scope(ROWS, ["law", "math"]) == ROWS[:2]
    assert class_indices(ROWS, LabelSet(("law", "math")), none=-1).tolist() == [0, 1, -1]


def test_a_label_of_the_users_own_may_be_called_none() -> None:
    assert questions_in_scope(ROWS, ["law", "math", "none"]) == ROWS
    assert class_indices(ROWS, LabelSet(("law", "math", "none")), none=-1).tolist() == [0, 1, 2]
    with pytest.raises(DataError, match="'math' is not one of the labels"):
        class_indices(ROWS, LabelSet(("law", "none")), none=-1)
