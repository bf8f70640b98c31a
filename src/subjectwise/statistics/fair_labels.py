"""Rows that may have several fair labels, and rows that have none. numpy only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from subjectwise.labels import LabelSet
from subjectwise.records import OUT_OF_SCOPE, Example
from subjectwise.types import BoolArray, IntArray


def fair_labels(examples: Sequence[Example], labels: Sequence[str]) -> BoolArray:
    """Return whether each label is a row's own or one that it names as fair, [rows, labels].

    Args:
        examples: the rows; a request of no label has none.
        labels: the columns.
    """
    columns = {label: column for column, label in enumerate(labels)}
    fair = np.zeros((len(examples), len(labels)), dtype=np.bool_)
    for row, example in enumerate(examples):
        for name in (example.label, *example.also):
            if name in columns:
                fair[row, columns[name]] = True
    return fair


def rows_in_scope(examples: Sequence[Example], labels: Sequence[str]) -> BoolArray:
    """Return whether each row belongs to a label, [rows]; all do where a label has the name of that answer."""
    known = OUT_OF_SCOPE in labels
    return np.array([known or example.label != OUT_OF_SCOPE for example in examples], dtype=np.bool_)


def questions_in_scope(examples: Sequence[Example], labels: Sequence[str]) -> list[Example]:
    """Return the rows that belong to a label: a mixture's requests of no label are nothing to fit a baseline on."""
    return [row for row, belongs in zip(examples, rows_in_scope(examples, labels), strict=True) if belongs]


def class_indices(examples: Sequence[Example], labels: LabelSet, none: int) -> IntArray:
    """Return the index of each row's label, [rows]; `none` for a request of no label.

    Raises:
        DataError: a row has another label.
    """
    belongs = rows_in_scope(examples, labels.names)
    indices = [labels.index(row.label) if known else none for row, known in zip(examples, belongs, strict=True)]
    return np.array(indices, dtype=np.int64)
