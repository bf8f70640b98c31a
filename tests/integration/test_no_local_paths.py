"""No file of a model folder that may be shared has a path of the machine that made it; here it works all the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers.folders import copy_folder, edit, read
from helpers.tiny_models import make_rows
from helpers.training import CPU, head_recipe
from subjectwise.classifier import Classifier
from subjectwise.data.split import open_split
from subjectwise.errors import BaseModelError, ModelFolderError
from subjectwise.publish.hub import plan_upload
from subjectwise.recipe import Recipe
from subjectwise.training.average import average
from subjectwise.training.calibrate_model import calibrate
from subjectwise.training.train import train

QUESTIONS = [row["question"] for row in make_rows()[::9]]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUBJECTWISE_CACHE", str(tmp_path / "cache"))


def load(folder: Path, base: Path | None = None) -> Classifier:
    return Classifier.from_pretrained(folder, base=str(base) if base else None, device="cpu", dtype="float32")


def assert_no_paths(folder: Path, tmp_path: Path, base: Path) -> None:
    for file in folder.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            for path in (tmp_path, base.parent):
                assert str(path).encode() not in content, file.name


@pytest.mark.parametrize("tune", ["none", "lora", "full"])
def test_a_trained_folder(tmp_path: Path, tiny_recipe: Recipe, tiny_base: Path, split_folder: Path, tune: str) -> None:
    recipe = tiny_recipe if tune == "none" else head_recipe(tiny_base, f"head.tune={tune}")
    base = copy_folder(tiny_base, tmp_path / "my-base")
    recipe = replace(recipe, base=str(base)).with_settings(["training.epochs=1"])
    train(recipe, open_split(split_folder), tmp_path / "m", compute=CPU, progress=False)
    assert_no_paths(tmp_path / "m", tmp_path, base)
    kept = read(tmp_path / "m/subjectwise.json")
    assert kept["base"]["name"] == kept["recipe"]["base"] == "my-base"
    assert "README.md" in plan_upload(tmp_path / "m", "me/subjects").files
    classifier = load(tmp_path / "m")
    if tune == "none":
        assert classifier.explain("What is a tort?", sentence=True).sentence
    classifier.save_pretrained(tmp_path / "saved")
    assert_no_paths(tmp_path / "saved", tmp_path, base)
    calibrate(tmp_path / "m", open_split(split_folder), compute=CPU, progress=False)
    assert_no_paths(tmp_path / "m", tmp_path, base)


def test_a_mean(tmp_path: Path, tiny_model: Path, tiny_base: Path, split_folder: Path) -> None:
    other = copy_folder(tiny_model, tmp_path / "other")
    data = open_split(split_folder)
    with pytest.raises(BaseModelError, match="The base tiny is unknown on this machine"):
        average([tiny_model, other], data, tmp_path / "mean", compute=CPU)
    calibrate(other, data, base=str(tiny_base), compute=CPU, progress=False)  # from here on this machine knows it
    average([tiny_model, other], data, tmp_path / "mean", compute=CPU)
    assert_no_paths(tmp_path / "mean", tmp_path, tiny_base)


def test_on_another_machine_the_base_is_asked_for(tiny_model: Path, tiny_base: Path) -> None:
    with pytest.raises(BaseModelError, match=r"The base tiny is unknown on this machine; .*\(--base, base= in Python"):
        load(tiny_model)
    expected = load(tiny_model, tiny_base).predict_proba(QUESTIONS)
    assert np.isfinite(expected).all()


def test_a_folder_of_an_older_version_loses_its_path_when_it_is_saved(
    tmp_path: Path, tiny_model: Path, tiny_base: Path, split_folder: Path
) -> None:
    old = copy_folder(tiny_model, tmp_path / "old")
    kept = read(old / "subjectwise.json")
    path = str(tiny_base)
    edit(old / "subjectwise.json", base=kept["base"] | {"name": path}, recipe=kept["recipe"] | {"base": path})
    (old / "README.md").write_text(f"base: {path}")
    with pytest.raises(ModelFolderError, match="Cannot upload .*: it has the path of its base on this machine"):
        plan_upload(old, "me/subjects")
    expected = load(old).predict_proba(QUESTIONS)
    load(old).save_pretrained(tmp_path / "saved")
    assert_no_paths(tmp_path / "saved", tmp_path, tiny_base)
    np.testing.assert_allclose(load(tmp_path / "saved").predict_proba(QUESTIONS), expected)
    calibrate(old, open_split(split_folder), compute=CPU, progress=False)
    assert_no_paths(old, tmp_path, tiny_base)
    assert plan_upload(old, "me/subjects").files
