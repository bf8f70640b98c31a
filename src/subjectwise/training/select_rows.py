"""Which rows a run trains on beside its split, and which of its validation rows choose the epoch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from subjectwise.data.near_duplicates import near_duplicate_groups
from subjectwise.data.split import SplitFolder
from subjectwise.errors import DataError
from subjectwise.recipe import Recipe, TrainingSettings
from subjectwise.records import Example
from subjectwise.statistics.fair_labels import questions_in_scope
from subjectwise.types import FloatArray


def without_near_duplicates(also: Sequence[Example], data: SplitFolder) -> list[Example]:
    """Return the rows that are not near-duplicates of validation or test rows.

    Raises:
        DataError: a row's label is not one of the split's.
    """
    for row in also:
        if row.label not in data.labels:
            raise DataError(f"Row {row.row_id} of --also has label {row.label!r}, which is not a label of {data.path}.")
    if not also:
        return []
    kept = [row.question.text for split in ("validation", "test") for row in data.examples(split)]
    groups = near_duplicate_groups([*kept, *(row.question.text for row in also)])
    known = set(groups[: len(kept)].tolist())
    return [row for row, group in zip(also, groups[len(kept) :].tolist(), strict=True) if group not in known]


def usable_rows(examples: Sequence[Example], recipe: Recipe, labels: Sequence[str]) -> list[Example]:
    """Return the rows that the model can learn: without requests of no label where it does not have that answer."""
    return list(examples) if recipe.prompt.out_of_scope else questions_in_scope(examples, labels)


def row_weights(examples: Sequence[Example], data: SplitFolder) -> FloatArray:
    """Return how often an epoch shows each row, as the mixture says of its kind; 1 for rows of no kind, [rows]."""
    kinds = {name: float(kind["weight"]) for name, kind in data.kinds.items()}
    return np.array([kinds.get(row.kind, 1.0) for row in examples])


def draw_validation(validation: Sequence[Example], settings: TrainingSettings) -> list[Example]:
    """Return the validation rows that choose the epoch: all, or as many as the settings say, drawn with the seed."""
    if not settings.validation_rows or settings.validation_rows >= len(validation):
        return list(validation)
    drawn = np.random.default_rng(settings.seed).permutation(len(validation))[: settings.validation_rows]
    return [validation[i] for i in sorted(drawn)]
