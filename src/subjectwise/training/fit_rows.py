"""Training on rows in memory, as scikit-learn's `fit` does: part of them validates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from subjectwise.data.protocols import Split
from subjectwise.data.split import write_split
from subjectwise.errors import DataError
from subjectwise.labels import LabelSet
from subjectwise.models.devices import Compute
from subjectwise.recipe import Recipe
from subjectwise.records import Example, Question, as_question
from subjectwise.training.train import train


def fit_rows(
    recipe: Recipe,
    questions: Sequence[Question | str],
    y: Sequence[object],
    folder: Path,
    validation_share: float,
    compute: Compute,
) -> dict[str, object]:
    """Train a model on questions and their labels, and write its folder.

    Args:
        recipe: how to train.
        questions: to learn from.
        y: their labels, of any type; a label's name is its text.
        folder: an existing folder; the model folder becomes `folder/model`.
        validation_share: the share of the rows that choose the epoch and fit the temperature, above 0 up to 0.5.
        compute: device and precision.

    Returns:
        The value that `y` had for each label's name.

    Raises:
        DataError: lengths differ, fewer than two labels, or a label with fewer than two rows.
    """
    from sklearn.model_selection import train_test_split

    if len(questions) != len(y):
        raise DataError(f"There are {len(questions)} questions for {len(y)} labels.")
    if not 0 < validation_share <= 0.5:
        raise DataError(f"validation_share is {validation_share}; it must be above 0 and at most 0.5.")
    classes: npt.NDArray[np.object_]
    classes, positions = np.unique(np.asarray(y), return_inverse=True)
    names = [str(value) for value in classes]
    LabelSet(tuple(names))
    rows = [
        Example(str(number), as_question(question), names[position])
        for number, (question, position) in enumerate(zip(questions, positions, strict=True))
    ]
    try:
        trained, validation = train_test_split(
            list(range(len(rows))),
            test_size=max(validation_share, len(names) / len(rows)),
            random_state=recipe.training.seed,
            stratify=positions,
        )
    except ValueError as error:
        raise DataError(f"Cannot divide the rows for validation: {error}") from error
    split = Split(trained, validation, validation)
    data = write_split(folder / "data", rows, split, protocol="fit", seed=recipe.training.seed, source="fit")
    train(recipe, data, folder / "model", compute=compute, progress=False)
    return dict(zip(names, classes, strict=True))
