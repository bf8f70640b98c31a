"""The mean of adapters is the mean of what they add to their base."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from helpers.commands import run_command
from helpers.folders import copy_folder, edit
from helpers.training import CPU
from subjectwise.data.split import open_split
from subjectwise.errors import ModelFolderError, OutputError
from subjectwise.models.lora import merge_adapter, read_adapter
from subjectwise.training.average import average
from subjectwise.training.train import train


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory, tiny_recipe: Any, split_folder: Path) -> Path:
    folder = tmp_path_factory.mktemp("other") / "model"
    recipe = tiny_recipe.with_settings(["training.seed=7", "training.epochs=3"])
    train(recipe, open_split(split_folder), folder, compute=CPU, progress=False)
    return folder


def added(base: Path, folder: Path) -> dict[str, torch.Tensor]:
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    merge_adapter(model, folder)
    return {name: weight - before[name] for name, weight in model.state_dict().items()}


def test_it_is_the_mean_of_the_products(
    tiny_base: Path, tiny_model: Path, other: Path, split_folder: Path, tmp_path: Path
) -> None:
    config = average([tiny_model, other], open_split(split_folder), tmp_path / "mean", rank=32, compute=CPU)
    mine, first, second = (added(tiny_base, folder) for folder in (tmp_path / "mean", tiny_model, other))
    largest = max(float(weight.abs().max()) for weight in first.values())
    for name, weight in mine.items():
        torch.testing.assert_close(weight, (first[name] + second[name]) / 2, atol=0.01 * largest, rtol=0.02)
    assert config.temperature != 1 and config.results["validation"]["rows"] > 0
    card = (tmp_path / "mean" / "README.md").read_text()
    assert "subjectwise average run-1 run-2 --data split --rank 32" in card and "Run 2:" in card
    adapter = json.loads((tmp_path / "mean" / "adapter_config.json").read_text())
    assert adapter["r"] == adapter["lora_alpha"] == 32
    assert config.results["kept"] == pytest.approx(1)


def test_the_rank_is_that_of_the_files(tiny_model: Path, other: Path, split_folder: Path, tmp_path: Path) -> None:
    data = open_split(split_folder)
    small = average([tiny_model, other], data, tmp_path / "small", rank=2, compute=CPU)
    assert 0.1 < small.results["kept"] < 1
    large = average([tiny_model, other], data, tmp_path / "large", rank=40, compute=CPU)
    assert large.results["kept"] == pytest.approx(1)
    for folder, rank in ((tmp_path / "small", 2), (tmp_path / "large", 40)):
        for a, b in read_adapter(folder).factors.values():
            assert a.shape[0] == b.shape[1] == rank


def test_a_mean_counts_as_the_runs_behind_it(tiny_model: Path, other: Path, split_folder: Path, tmp_path: Path) -> None:
    data, mean = open_split(split_folder), tmp_path / "mean"
    average([tiny_model, other], data, mean, rank=32, compute=CPU)
    config = average([mean, mean, other], data, tmp_path / "of-means", rank=32, compute=CPU)
    runs = config.results["average_of"]
    assert [run["times"] for run in runs] == [1, 2]
    assert [run["recipe"]["training"]["seed"] for run in runs] == [42, 7]
    card = (tmp_path / "of-means" / "README.md").read_text()
    assert "subjectwise average run-1 run-2 run-2 --data" in card and "Run 2, counted 2 times:" in card


def test_an_adapter_of_another_kind_is_refused(
    tiny_model: Path, other: Path, split_folder: Path, tmp_path: Path
) -> None:
    changed = copy_folder(other, tmp_path / "changed")
    edit(changed / "adapter_config.json", use_rslora=True)
    with pytest.raises(ModelFolderError, match="not plain LoRA"):
        average([tiny_model, changed], open_split(split_folder), tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_folders_that_do_not_belong_together_are_refused(
    tiny_model: Path, other: Path, split_folder: Path, tmp_path: Path
) -> None:
    data = open_split(split_folder)
    with pytest.raises(ModelFolderError, match="Cannot average fewer than two models"):
        average([tiny_model], data, tmp_path / "x")
    changed = copy_folder(other, tmp_path / "changed")
    edit(changed / "subjectwise.json", manifest_sha256="another")
    with pytest.raises(ModelFolderError, match="differ in manifest_sha256"):
        average([tiny_model, changed], data, tmp_path / "x")
    with pytest.raises(OutputError, match="already exists"):
        average([tiny_model, other], data, changed)
    assert not (tmp_path / "x").exists()
    assert average([tiny_model, changed], data, tmp_path / "x", other_rows=True).manifest_sha256 == data.manifest_sha256


def test_the_command(tiny_model: Path, other: Path, split_folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "mean"
    finished = run_command("average", tiny_model, other, "--data", split_folder, "--output", output, "--json")
    assert finished.returncode == 0, finished.stderr
    assert json.loads(finished.stdout)["folder"] == str(output)
