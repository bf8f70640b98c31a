"""Checkpoints belong to one run; half-written ones are not resumed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from helpers.folders import edit
from subjectwise.data.split import open_split
from subjectwise.errors import OutputError
from subjectwise.recipe import Recipe
from subjectwise.records import Example, Question
from subjectwise.training.checkpoints import last_checkpoint, open_checkpoints, read_history


def test_the_same_run_opens_its_own(tmp_path: Path, tiny_recipe: Recipe, split_folder: Path) -> None:
    data = open_split(split_folder)
    folder = open_checkpoints(tmp_path / "m", tiny_recipe, data, processes=2)
    assert folder == tmp_path / "m.checkpoints"
    assert open_checkpoints(tmp_path / "m", tiny_recipe, data, processes=2) == folder


def test_those_of_another_run_are_refused(
    tmp_path: Path, tiny_recipe: Recipe, split_folder: Path, tiny_model: Path
) -> None:
    data, output = open_split(split_folder), tmp_path / "m"
    folder = open_checkpoints(output, tiny_recipe, data)
    own = Example("own", Question("An entirely different matter?"), "law")
    others: list[tuple[Recipe, dict[str, Any], str]] = [
        (tiny_recipe.with_settings(["training.seed=1"]), {}, "another recipe or other data"),
        (tiny_recipe, {"also": [own]}, "another recipe or other data"),
        (tiny_recipe, {"start": tiny_model}, "another recipe or other data"),
        (tiny_recipe, {"processes": 4}, "1 processes, and this one has 4"),
    ]
    for recipe, options, part in others:
        with pytest.raises(OutputError, match=f"belongs to a run with {part}; remove it"):
            open_checkpoints(output, recipe, data, **options)
    with pytest.raises(OutputError, match="another recipe or other data"):
        open_checkpoints(output, tiny_recipe, replace(data, manifest_sha256="other"))
    edit(folder / "run.json", version=1)
    with pytest.raises(OutputError, match="another version of this package"):
        open_checkpoints(output, tiny_recipe, data)


def test_half_written_checkpoints_are_passed_over(tmp_path: Path) -> None:
    assert last_checkpoint(tmp_path) is None and read_history(None) == []
    for number, state in (("9", '{"log_history": [{"loss": 1.0}]}'), ("10", '{"half'), ("11", None)):
        (tmp_path / f"checkpoint-{number}").mkdir()
        if state is not None:
            (tmp_path / f"checkpoint-{number}/trainer_state.json").write_text(state)
    last = last_checkpoint(tmp_path)
    assert last == tmp_path / "checkpoint-9" and read_history(last) == [{"loss": 1.0}]
    assert not (tmp_path / "checkpoint-10").exists() and not (tmp_path / "checkpoint-11").exists()
