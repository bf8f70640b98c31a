"""Rows in memory are trained on as scikit-learn gives them; what cannot be used is named with its row."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest

from helpers.tiny_models import make_rows
from helpers.training import CPU
from subjectwise.errors import DataError
from subjectwise.models.model_config import read_config
from subjectwise.recipe import Recipe
from subjectwise.training import fit_rows as fit_rows_module
from subjectwise.training.fit_rows import Fitted, fit_rows

ROWS = make_rows()
TEXTS = [row["question"] for row in ROWS]
NAMES = [row["category"] for row in ROWS]


@pytest.fixture
def fit(tmp_path: Path, tiny_recipe: Recipe) -> Callable[..., Fitted]:
    def run(questions: Any, y: Any, share: float = 0.2) -> Fitted:
        return fit_rows(tiny_recipe.with_settings(["training.epochs=1"]), questions, y, tmp_path, share, CPU)

    return run


def test_a_frame_of_one_column_is_trained_on(fit: Callable[..., Fitted]) -> None:
    fitted = fit(pandas.DataFrame({"q": TEXTS}), pandas.DataFrame({"label": NAMES}))
    assert list(read_config(fitted.folder).labels) == sorted(set(NAMES))
    assert fitted.value_of == {name: name for name in NAMES}
    assert [path.name for path in fitted.folder.parent.iterdir()] == ["model"]
    assert fitted.warning.endswith("Give it 100 or more.")


def named(y: Any, monkeypatch: pytest.MonkeyPatch, fit: Callable[..., Fitted]) -> dict[str, Any]:
    """The values of the names of labels, without training."""
    from types import SimpleNamespace

    def nothing(recipe: Any, data: Any, output: Path, **options: Any) -> Any:
        return SimpleNamespace(folder=output, warning="", labels=data.labels)

    monkeypatch.setattr(fit_rows_module, "train", nothing)
    return dict(fit(TEXTS, y).value_of)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([3, 20, 100], {"3": 3, "20": 20, "100": 100}),
        ([True, False, True], {"True": True, "False": False}),
        ([1, 1.0, 2], {"1": 1, "2": 2}),
        (["a", "b", 3], {"a": "a", "b": "b", "3": 3}),
        (list(np.array([1, 2, 3])), {"1": 1, "2": 2, "3": 3}),
    ],
)
def test_labels_of_any_type_keep_their_values(
    values: list[Any], expected: dict[str, Any], monkeypatch: pytest.MonkeyPatch, fit: Callable[..., Fitted]
) -> None:
    assert named([values[i % len(values)] for i in range(len(TEXTS))], monkeypatch, fit) == expected


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (None, r"Row 3 has no label \(None\); give it one, or leave the row out"),
        (float("nan"), r"Row 3 has no label \(nan\)"),
        (np.float64("nan"), "Row 3 has no label"),
        (pandas.NA, r"Row 3 has no label \(<NA>\)"),
        (pandas.NaT, r"Row 3 has no label \(NaT\)"),
        (["law"], r"Row 3 has the label \['law'\]; a label must be one text or number"),
        ({"law": 1}, "Row 3 has the label .*; a label must be one text or number"),
        ((1, 2), "Row 3 has the label .*; a label must be one text or number"),
    ],
)
def test_a_row_without_a_label_is_named(fit: Callable[..., Fitted], change: Any, part: str) -> None:
    with pytest.raises(DataError, match=part):
        fit(TEXTS, [*NAMES[:2], change, *NAMES[3:]])


def test_missing_labels_of_a_series_are_named(fit: Callable[..., Fitted]) -> None:
    with pytest.raises(DataError, match="Row 5 has no label"):
        fit(TEXTS, pandas.Series([*NAMES[:4], None, *NAMES[5:]]))


def test_values_of_one_name_and_two_types_are_refused(fit: Callable[..., Fitted]) -> None:
    with pytest.raises(DataError, match="Row 2 has the label '1', and another row 1; use one type of labels"):
        fit(["a", "b"], [1, "1"])


def test_rows_that_cannot_be_divided(fit: Callable[..., Fitted], monkeypatch: pytest.MonkeyPatch) -> None:
    for questions, y, part in [
        (["a", "b"], ["law"], "2 questions for 1 labels"),
        (["a", "b"], ["law", "law"], "at least two labels"),
        (["a", "b", "c"], ["law", "law", "art"], "Cannot divide the rows for validation: the label 'art' has a single"),
        (["a", "b"], "ab", "Pass the labels as a list, not as str"),
    ]:
        with pytest.raises(DataError, match=part):
            fit(questions, y)
    with pytest.raises(DataError, match="validation_share is 0.9"):
        fit(TEXTS, NAMES, share=0.9)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(DataError, match="Cannot fit in several processes; use 'subjectwise train'"):
        fit(TEXTS, NAMES)
