"""Rows beside the split are no near-duplicates of the rows that measure; validation rows are drawn once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from subjectwise.data.split import open_split
from subjectwise.errors import DataError
from subjectwise.recipe import load_recipe
from subjectwise.records import Example, Question
from subjectwise.training.select_rows import draw_validation, row_weights, usable_rows, without_near_duplicates


def test_near_duplicates_of_validation_and_test_rows_are_left_out(split_folder: Path) -> None:
    data = open_split(split_folder)
    duplicates = [replace(data.examples(split)[0], row_id=split) for split in ("validation", "test")]
    own = Example("own", Question("An entirely different matter, never seen before?"), data.labels.names[0])
    trained = replace(data.examples("train")[0], row_id="trained")
    assert without_near_duplicates([*duplicates, own, trained], data) == [own, trained]
    assert without_near_duplicates([], data) == []
    with pytest.raises(DataError, match="Row own of --also has label 'astrology', which is not a label of"):
        without_near_duplicates([replace(own, label="astrology")], data)


def test_validation_rows_are_drawn_with_the_seed(split_folder: Path) -> None:
    rows = open_split(split_folder).examples("validation")
    assert draw_validation(rows, load_recipe("small").training) == rows
    eight = load_recipe("small", ["training.validation_rows=8"]).training
    drawn = draw_validation(rows, eight)
    assert len(drawn) == 8 and [row for row in rows if row in drawn] == drawn == draw_validation(rows, eight)
    assert draw_validation(rows, replace(eight, seed=1)) != drawn
    assert draw_validation(rows, replace(eight, validation_rows=10_000)) == rows


def test_requests_of_no_label_are_for_models_that_have_that_answer(split_folder: Path) -> None:
    rows = [*open_split(split_folder).examples("train")[:3], Example("none/1", Question("Hello!"), "none")]
    names = open_split(split_folder).labels.names
    assert usable_rows(rows, load_recipe("small"), names) == rows[:3]
    assert usable_rows(rows, load_recipe("small", ["prompt.out_of_scope=true"]), names) == rows
    assert usable_rows(rows, load_recipe("small"), [*names, "none"]) == rows, "none is a label of the user's own"


def test_a_row_has_the_weight_of_its_kind(split_folder: Path) -> None:
    data = open_split(split_folder)
    rows = [replace(row, kind=kind) for row, kind in zip(data.examples("train"), ("a", "b", ""), strict=False)]
    assert list(row_weights(rows, data)) == [1, 1, 1]
    kinds = {"a": {"weight": 2.5, "out_of_scope": False}, "b": {"weight": 0.5, "out_of_scope": False}}
    assert list(row_weights(rows, replace(data, manifest={**data.manifest, "kinds": kinds}))) == [2.5, 0.5, 1]
