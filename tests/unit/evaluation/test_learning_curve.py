from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from helpers.tiny_models import TINY_SETTINGS
from subjectwise.data.split import open_split
from subjectwise.errors import DataError
from subjectwise.evaluation.learning_curve import draw_rows, learning_curve
from subjectwise.records import Example, Question


def rows(**counts: int) -> list[Example]:
    return [
        Example(f"{label}-{n}", Question(f"{label} {n}"), label)
        for label, count in counts.items()
        for n in range(count)
    ]


def test_every_label_is_drawn_by_its_share() -> None:
    train = rows(a=60, b=30, c=10)
    drawn = draw_rows(train, 20, seed=1)
    assert Counter(row.label for row in drawn) == {"a": 12, "b": 6, "c": 2}
    assert drawn == draw_rows(train, 20, seed=1) != draw_rows(train, 20, seed=2)
    assert len(set(drawn)) == 20
    assert draw_rows(train, 100, seed=3) == train


def test_a_rare_label_is_never_left_out() -> None:
    drawn = draw_rows(rows(a=200, b=200, c=3), 10, seed=0)
    assert len(drawn) == len(set(drawn)) == 10 and {row.label for row in drawn} == {"a", "b", "c"}


def test_a_recipe_learns(tiny_base: Path, split_folder: Path, tmp_path: Path) -> None:
    told: list[dict[str, Any]] = []
    curve = learning_curve(
        "small", open_split(split_folder), [12], [1], tmp_path, settings=TINY_SETTINGS, base=str(tiny_base),
        device="cpu", on_point=told.append,
    )  # fmt: skip
    assert curve["points"] == told and told[0]["rows"] == 12 and 0 < told[0]["accuracy"]["value"] <= 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["learning_curve.json"]
    with pytest.raises(DataError, match="from 4 to the"):
        learning_curve("small", open_split(split_folder), [10_000], [1], tmp_path / "x")
