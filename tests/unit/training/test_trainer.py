"""An interrupted run ends with the weights of a run that was not, wherever it was interrupted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from helpers.training import CPU, InterruptedRunError, head_recipe, interrupted_at
from subjectwise.data.split import SplitFolder, open_split
from subjectwise.models.model_config import read_config
from subjectwise.recipe import Recipe, load_recipe
from subjectwise.training import train as train_module
from subjectwise.training.checkpoints import last_checkpoint
from subjectwise.training.train import train
from subjectwise.training.trainer import LabelTrainer


@pytest.fixture(scope="module")
def data(split_folder: Path) -> SplitFolder:
    return open_split(split_folder)


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    file = "model.safetensors" if (folder / "model.safetensors").exists() else "adapter_model.safetensors"
    weights: dict[str, torch.Tensor] = load_file(folder / file)
    return weights


def assert_same_weights(first: Path, second: Path) -> None:
    one, other = weights_of(first), weights_of(second)
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name
    assert read_config(first).results["validation"] == read_config(second).results["validation"]


EPOCHS = ("training.epochs=3", "training.checkpoint_steps=3", "training.learning_rate=3e-3")
RUNS = {
    "adapter": ("small", "decoder", ("lora.dropout=0.1", "training.augment=noise")),
    "adapter and head": ("head", "decoder", ("lora.dropout=0.1",)),
    "every weight": ("head", "bert", ("head.tune=full",)),
    "head alone": ("head", "decoder", ("head.tune=frozen",)),
}


@pytest.mark.parametrize("name", RUNS)
def test_an_interrupted_run_ends_with_the_same_weights(
    tmp_path: Path, head_bases: dict[str, Path], data: SplitFolder, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe_name, kind, settings = RUNS[name]
    if recipe_name == "head":
        recipe = head_recipe(head_bases[kind], *EPOCHS, *settings)
    else:
        recipe = replace(
            load_recipe("small", [*EPOCHS, "training.batch_size=8", *settings]), base=str(head_bases[kind])
        )

    def start(output: str) -> None:
        train(recipe, data, tmp_path / output, compute=CPU, progress=False)

    start("whole")
    for step in (4, 11, 17):  # within the first epoch, within the second, after its checkpoint
        with interrupted_at(step, monkeypatch):
            start("stopped")
        assert not (tmp_path / "stopped").exists()
    start("stopped")
    assert_same_weights(tmp_path / "whole", tmp_path / "stopped")


def test_a_run_that_is_killed_while_an_epoch_is_evaluated_evaluates_it_again(
    tmp_path: Path, tiny_recipe: Recipe, data: SplitFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Eight steps per epoch, so that a checkpoint would fall on its end.
    recipe = tiny_recipe.with_settings(["training.epochs=2", "training.checkpoint_steps=2"])

    def killed(trainer: LabelTrainer, *args: object, **kwargs: object) -> None:
        assert float(trainer.state.epoch or 0).is_integer()
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(LabelTrainer, "evaluate", killed)
        with pytest.raises(KeyboardInterrupt):
            train(recipe, data, tmp_path / "m", compute=CPU, progress=False)
    assert last_checkpoint(tmp_path / "m.checkpoints") == tmp_path / "m.checkpoints/checkpoint-6"
    assert train(recipe, data, tmp_path / "m", compute=CPU, progress=False).epochs == 2


def test_a_run_that_has_stopped_early_trains_no_further(
    tmp_path: Path, tiny_recipe: Recipe, data: SplitFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    # At this rate the second epoch is worse than the first, and later ones may be better again.
    recipe = tiny_recipe.with_settings(["training.epochs=9", "training.patience=1", "training.learning_rate=0.3"])
    train(recipe, data, tmp_path / "whole", compute=CPU, progress=False)
    epochs = len(read_config(tmp_path / "whole").results["epochs"])
    assert epochs < 9

    def failing(*args: Any, **options: Any) -> Any:
        raise InterruptedRunError

    with monkeypatch.context() as patched:
        patched.setattr(train_module, "calibrate", failing)
        with pytest.raises(InterruptedRunError):
            train(recipe, data, tmp_path / "stopped", compute=CPU, progress=False)
    train(recipe, data, tmp_path / "stopped", compute=CPU, progress=False)
    assert len(read_config(tmp_path / "stopped").results["epochs"]) == epochs
    assert_same_weights(tmp_path / "whole", tmp_path / "stopped")
