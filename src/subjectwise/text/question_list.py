"""Questions and labels as callers pass them: lists, arrays, Series, and frames of one column. Knows no model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from subjectwise.errors import DataError, QuestionError
from subjectwise.records import Question, as_question

# What scikit-learn's methods accept; a Series and a frame are array-like.
QuestionsLike = Sequence[Question | str] | npt.ArrayLike


def question_list(values: QuestionsLike) -> list[Question]:
    """Return questions as a list.

    Args:
        values: a list, an array, a Series, or an array or a frame of one column.

    Raises:
        DataError: a single question, or several columns.
        QuestionError: one of them cannot be read; the message has its number, from 1, where there are several.
    """
    column, questions = column_values(values, "the questions"), []
    for number, value in enumerate(column, 1):
        try:
            questions.append(as_question(value))
        except QuestionError as error:
            raise QuestionError(f"Question {number}: {error}" if len(column) > 1 else str(error)) from error
    return questions


def column_values(values: object, what: str) -> list[Any]:
    """Return the values of a list, an array, a Series, or an array or a frame of one column.

    Args:
        values: to read.
        what: what they are, for errors.

    Raises:
        DataError: a single value, or several columns.
    """
    names = getattr(values, "column_names", None)  # of a table of pyarrow
    if names is None:
        names = getattr(values, "columns", None)  # of a frame of pandas or polars
    if names is not None:
        if len(names) != 1:
            listed = ", ".join(map(str, list(names)[:5]))
            raise DataError(f"Pass one column with {what}; this table has {len(names)} ({listed}).")
        column = values[names[0]]  # type: ignore[index]
        return list(column.to_pylist() if hasattr(column, "to_pylist") else column)
    if isinstance(values, (str, bytes, Question, Mapping)) or not hasattr(values, "__iter__"):
        raise DataError(f"Pass {what} as a list, not as {type(values).__name__}; `classify` takes a single question.")
    if isinstance(values, np.ndarray) and values.ndim != 1:
        if values.ndim != 2 or values.shape[1] != 1:
            raise DataError(f"Pass {what} as one column; this array has the shape {values.shape}.")
        values = values[:, 0]
    return list(values)
