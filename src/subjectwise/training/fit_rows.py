"""Training on rows in memory, as scikit-learn's `fit` does: part of them validates."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Number
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from subjectwise.data.protocols import Split
from subjectwise.data.split import write_split
from subjectwise.errors import DataError
from subjectwise.labels import LabelSet
from subjectwise.models.devices import Compute
from subjectwise.recipe import Recipe
from subjectwise.records import Example
from subjectwise.text.question_list import QuestionsLike, column_values, question_list
from subjectwise.training.train import train
from subjectwise.utils.optional_dependencies import require


@dataclass(frozen=True)
class Fitted:
    """A model that was trained on rows in memory.

    Attributes:
        folder: of the model.
        value_of: the value that `y` had for each label's name.
        warning: as of `TrainingResult`.
    """

    folder: Path
    value_of: Mapping[str, Any]
    warning: str


def fit_rows(
    recipe: Recipe,
    questions: QuestionsLike,
    y: npt.ArrayLike,
    folder: Path,
    validation_share: float,
    compute: Compute,
) -> Fitted:
    """Train a model on questions and their labels, and write its folder.

    Args:
        recipe: how to train.
        questions: to learn from.
        y: their labels: text, numbers or booleans; a label's name is its text.
        folder: an existing folder; the model folder becomes `folder/model`.
        validation_share: the share of the rows that choose the epoch and fit the temperature, above 0 up to 0.5.
        compute: device and precision.

    Raises:
        DataError: lengths differ, a row has no label or several values as its label, fewer than two labels, or a label
            with fewer than two rows.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise DataError("Cannot fit in several processes; use 'subjectwise train', which shares the rows among them.")
    asked, values = question_list(questions), column_values(y, "the labels")
    if len(asked) != len(values):
        raise DataError(f"There are {len(asked)} questions for {len(values)} labels.")
    if not 0 < validation_share <= 0.5:
        raise DataError(f"validation_share is {validation_share}; it must be above 0 and at most 0.5.")
    name_of = _label_names(values)
    LabelSet(tuple(sorted(name_of.values())))
    rows = [
        Example(str(number), question, name_of[value])
        for number, (question, value) in enumerate(zip(asked, values, strict=True))
    ]
    split = _split_rows([row.label for row in rows], len(name_of), validation_share, recipe.training.seed)
    data = write_split(folder / "data", rows, split, protocol="fit", seed=recipe.training.seed, source="fit")
    result = train(recipe, data, folder / "model", compute=compute, progress=False)
    shutil.rmtree(folder / "data")
    return Fitted(result.folder, {name: value for value, name in name_of.items()}, result.warning)


def _label_names(values: Sequence[Any]) -> dict[Any, str]:
    """Return the name of each label value, its text; raise DataError where a row has none."""
    name_of: dict[Any, str] = {}
    value_of: dict[str, Any] = {}
    for number, value in enumerate(values, 1):
        if _is_missing(value):
            raise DataError(f"Row {number} has no label ({value!r}); give it one, or leave the row out.")
        if not isinstance(value, (str, Number, np.generic)):
            raise DataError(f"Row {number} has the label {value!r}; a label must be one text or number.")
        name = name_of.setdefault(value, str(value))
        known = value_of.setdefault(name, value)
        if known != value:
            raise DataError(f"Row {number} has the label {value!r}, and another row {known!r}; use one type of labels.")
    return name_of


def _is_missing(value: Any) -> bool:
    """Return whether a value is what frames and arrays have where they have none."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, (float, np.floating)) and bool(np.isnan(value))


def _split_rows(labels: Sequence[str], count: int, validation_share: float, seed: int) -> Split:
    train_test_split = require("sklearn.model_selection", "train").train_test_split

    rare = [label for label, rows in Counter(labels).items() if rows < 2]
    if rare:
        raise DataError(f"Cannot divide the rows for validation: the label {rare[0]!r} has a single row.")
    try:
        trained, validation = train_test_split(
            list(range(len(labels))),
            test_size=max(validation_share, count / len(labels)),
            random_state=seed,
            stratify=labels,
        )
    except ValueError as error:
        raise DataError(f"Cannot divide the rows for validation: {error}") from error
    return Split(trained, validation, validation)
