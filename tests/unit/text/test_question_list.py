"""Questions and labels in whatever they come; what cannot be read is named with its number."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas
import pyarrow
import pytest

from subjectwise.errors import DataError, QuestionError
from subjectwise.records import Question
from subjectwise.text.question_list import column_values, question_list

TEXTS = ["What is torque?", "Which tort is it?"]
FRAME = pandas.DataFrame({"q": TEXTS, "label": ["physics", "law"]})


class PolarsLikeFrame:
    """Columns by name, and a list of their names, as frames of polars have them."""

    columns = ["q"]

    def __getitem__(self, name: str) -> list[str]:
        assert name == "q"
        return TEXTS

    def __iter__(self) -> Any:
        raise AssertionError("a frame's own iteration is not of its rows")


@pytest.mark.parametrize(
    "values",
    [
        TEXTS,
        tuple(TEXTS),
        iter(TEXTS),
        [Question(TEXTS[0]), TEXTS[1]],
        np.array(TEXTS),
        np.array(TEXTS, dtype=object),
        np.array(TEXTS, dtype=object)[:, None],
        FRAME["q"],
        FRAME[["q"]],
        pyarrow.table({"q": TEXTS}),
        PolarsLikeFrame(),
    ],
    ids=lambda values: type(values).__name__,
)
def test_one_column_is_a_list_of_questions(values: Any) -> None:
    assert question_list(values) == [Question(text) for text in TEXTS]


@pytest.mark.parametrize(
    ("values", "part"),
    [
        (FRAME, r"this table has 2 \(q, label\)"),
        (pandas.DataFrame(), r"this table has 0 \(\)"),
        (pyarrow.table({"q": TEXTS, "label": TEXTS}), "this table has 2"),
        (np.array([TEXTS, TEXTS]), r"this array has the shape \(2, 2\)"),
        (np.array(TEXTS[0]), r"this array has the shape \(\)"),
        ("What is torque?", "as a list, not as str; `classify` takes a single question"),
        (Question("What is torque?"), "as a list, not as Question"),
        (b"What?", "as a list, not as bytes"),
        ({"q": "What?"}, "as a list, not as dict"),
        (None, "as a list, not as NoneType"),
        (3, "as a list, not as int"),
    ],
)
def test_what_is_no_column_is_refused(values: Any, part: str) -> None:
    with pytest.raises(DataError, match=part):
        question_list(values)


def test_a_question_that_cannot_be_read_has_its_number() -> None:
    with pytest.raises(QuestionError, match="Question 2: The question is empty"):
        question_list(["What?", "", "Why?"])
    with pytest.raises(QuestionError, match="Question 3: A question must be text, not NoneType"):
        question_list(["What?", "Why?", None])  # type: ignore[list-item]


def test_a_question_alone_needs_no_number() -> None:
    with pytest.raises(QuestionError, match="^The question is empty"):
        question_list([""])


def test_values_keep_their_type() -> None:
    assert column_values(pandas.DataFrame({"label": [3, 4]}), "the labels") == [3, 4]
    assert column_values(np.array([[True], [False]]), "the labels") == [True, False]
