"""Whole runs: they learn, are saved whole or not at all, and free their model before it is calibrated."""

from __future__ import annotations

import copy
import gc
import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from helpers.folders import read
from helpers.tiny_models import decoder_configs, save_base, tiny_config
from helpers.training import CPU
from subjectwise.classifier import Classifier
from subjectwise.data.protocols import SPLIT_NAMES, Split
from subjectwise.data.split import SplitFolder, open_split, rows_sha256, write_split
from subjectwise.errors import DataError, ModelFolderError, OutputError, RecipeError
from subjectwise.models.devices import Compute
from subjectwise.models.lora import read_adapter
from subjectwise.models.model_config import read_config
from subjectwise.recipe import Recipe, load_recipe
from subjectwise.records import Example, Question
from subjectwise.text.spelling import count_words
from subjectwise.training import train as train_module
from subjectwise.training.calibrate_model import calibrate
from subjectwise.training.train import TrainingResult, train
from subjectwise.utils.atomic_files import file_sha256


@pytest.fixture(scope="module")
def data(split_folder: Path) -> SplitFolder:
    return open_split(split_folder)


def run(recipe: Recipe, data: SplitFolder, output: Path, **options: Any) -> TrainingResult:
    defaults: dict[str, Any] = {"compute": CPU, "progress": False}
    return train(recipe, data, output, **(defaults | options))


def one_epoch(recipe: Recipe, *settings: str) -> Recipe:
    return recipe.with_settings(["training.epochs=1", *settings])


def assert_answers_as_measured(result: TrainingResult, data: SplitFolder, compute: Compute = CPU) -> None:
    classifier = Classifier.from_pretrained(result.folder, device=compute.device, dtype=compute.dtype)
    rows = data.examples("validation")
    shown = [row.question if classifier.reads_options else row.question.without_options() for row in rows]
    answers = classifier.classify(shown)
    right = [answer.label == row.label for answer, row in zip(answers, rows, strict=True)]
    assert np.mean(right) == pytest.approx(result.accuracy), "the folder answers as training measured it"


def test_it_learns_and_keeps_the_best_epoch(tiny_model: Path) -> None:
    results = read(tiny_model / "subjectwise.json")["results"]
    assert results["validation"]["accuracy"] > 0.6, "four labels; chance is 0.25"
    assert results["best_epoch"] == min(results["epochs"], key=lambda epoch: epoch["nll"])["epoch"]
    assert not tiny_model.with_name("tiny.checkpoints").exists()


def test_a_log_has_one_line_per_epoch(
    tmp_path: Path, tiny_recipe: Recipe, data: SplitFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tiny_recipe.with_settings(["training.epochs=2", "training.batch_size=4"])
    run(recipe, data, tmp_path / "m", progress=True)
    first, *epochs = capsys.readouterr().err.splitlines()
    assert first.startswith("57 rows, 4 per step (4 per batch), learning rate 0.01, 30 steps in 2 epochs")
    assert [line.split(":")[0] for line in epochs] == ["epoch 1 of 2", "epoch 2 of 2"]


def test_a_label_may_be_called_none(tmp_path: Path, tiny_recipe: Recipe, data: SplitFolder) -> None:
    renamed = data.labels.names[0]
    rows = [
        replace(row, label="none" if row.label == renamed else row.label)
        for name in SPLIT_NAMES
        for row in data.examples(name)
    ]
    ends = np.cumsum([len(data.examples(name)) for name in SPLIT_NAMES]).tolist()
    parts = Split(*(list(range(start, end)) for start, end in pairwise([0, *ends])))
    own = write_split(tmp_path / "split", rows, parts, protocol="own", seed=0, source="own")
    result = run(one_epoch(tiny_recipe), own, tmp_path / "m")
    assert "none" in own.labels
    assert read(result.folder / "subjectwise.json")["results"]["validation"]["rows"] == len(data.examples("validation"))
    assert_answers_as_measured(result, own)


@pytest.mark.parametrize("style", ["plain", "chat"])
def test_the_answer_loss_trains_in_every_style(
    tmp_path: Path, tiny_recipe: Recipe, data: SplitFolder, style: str
) -> None:
    settings = ["training.loss=answer", "training.gradient_accumulation=2", "training.validation_rows=8"]
    settings += [f"prompt.style={style}", "prompt.with_options=true", "lora.dropout=0.05"]
    result = run(one_epoch(tiny_recipe, *settings), data, tmp_path / "m")
    assert read_config(result.folder).prompt.with_options
    assert_answers_as_measured(result, data)


@pytest.mark.parametrize("kind", list(decoder_configs(600)))
def test_every_kind_of_decoder_trains(
    tmp_path: Path, tiny_recipe: Recipe, data: SplitFolder, tokenizer: Any, kind: str
) -> None:
    plain = copy.deepcopy(tokenizer)
    plain.pad_token = plain.chat_template = None
    base = save_base(tmp_path / "base", decoder_configs(len(plain))[kind], plain)
    recipe = one_epoch(replace(tiny_recipe, base=str(base)), "prompt.style=plain")
    assert_answers_as_measured(run(recipe, data, tmp_path / "m"), data)


def test_bfloat16_trains(tmp_path: Path, tiny_recipe: Recipe, data: SplitFolder) -> None:
    compute = Compute("cpu", "bfloat16")
    settings = ["training.epochs=4", "training.patience=4"]
    result = run(tiny_recipe.with_settings(settings), data, tmp_path / "m", compute=compute)
    nlls = [epoch["nll"] for epoch in read(result.folder / "subjectwise.json")["results"]["epochs"]]
    assert min(nlls) < nlls[0]
    assert_answers_as_measured(result, data, compute)


def test_noise_is_kept_in_the_recipe(tmp_path: Path, tiny_recipe: Recipe, data: SplitFolder) -> None:
    result = run(one_epoch(tiny_recipe, "training.augment=noise"), data, tmp_path / "m")
    assert read(result.folder / "subjectwise.json")["recipe"]["training"]["augment"] == "noise"


def test_the_training_vocabulary_is_kept(tmp_path: Path, tiny_recipe: Recipe, data: SplitFolder) -> None:
    run(one_epoch(tiny_recipe, "prompt.spelling=en"), data, tmp_path / "model")
    config = read_config(tmp_path / "model")
    assert config.prompt.spelling == "en"
    assert config.words == count_words(row.question.text for row in data.examples("train"))


def test_an_adapter_is_trained_further(
    tmp_path: Path, tiny_model: Path, tiny_recipe: Recipe, data: SplitFolder
) -> None:
    # At a rate that changes next to nothing, and at a rank that the adapter does not have.
    settings = ["training.epochs=1", "training.learning_rate=1e-9", "lora.r=3"]
    recipe = replace(load_recipe("small", settings), base=tiny_recipe.base)
    run(recipe, data, tmp_path / "m", start=tiny_model)
    before, after = read_adapter(tiny_model), read_adapter(tmp_path / "m")
    assert after.config["r"] == before.config["r"] and after.scale == before.scale
    for name, factors in before.factors.items():
        for old, new in zip(factors, after.factors[name], strict=True):
            np.testing.assert_allclose(new, old, rtol=1e-5, atol=1e-6)
    kept = read(tmp_path / "m/subjectwise.json")
    assert kept["recipe"]["lora"]["r"] == before.config["r"]
    assert kept["results"]["start"]["sha256"] == file_sha256(tiny_model / "adapter_model.safetensors")
    assert "--from MODEL" in (tmp_path / "m" / "README.md").read_text()


def test_an_adapter_of_another_base_or_a_head_is_not_trained_further(
    tmp_path: Path, tiny_model: Path, tiny_recipe: Recipe, data: SplitFolder, tokenizer: Any
) -> None:
    wide = save_base(tmp_path / "wide", tiny_config(len(tokenizer), hidden_size=32), tokenizer)
    with pytest.raises(ModelFolderError, match="hidden_size 64"):
        run(replace(tiny_recipe, base=str(wide)), data, tmp_path / "m", start=tiny_model)
    headed = replace(tiny_recipe, head=replace(tiny_recipe.head, tune="lora"))
    with pytest.raises(ModelFolderError, match="Cannot train a head further"):
        run(headed, data, tmp_path / "m", start=tiny_model)
    assert not (tmp_path / "m").exists()


def test_nothing_is_overwritten(tmp_path: Path, tiny_recipe: Recipe, data: SplitFolder) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="already exists"):
        run(tiny_recipe, data, tmp_path / "full")
    (tmp_path / "other.checkpoints").mkdir()
    (tmp_path / "other.checkpoints/run.json").write_text('{"recipe": {}}')
    with pytest.raises(OutputError, match="belongs to a run with another recipe"):
        run(tiny_recipe, data, tmp_path / "other")
    assert (tmp_path / "full/mine.txt").read_text() == "mine" and not (tmp_path / "other").exists()


def test_settings_that_do_not_fit_are_refused(
    tmp_path: Path, tiny_recipe: Recipe, data: SplitFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RecipeError, match="lora.target_modules do not fit"):
        run(tiny_recipe.with_settings(["lora.target_modules=[query]"]), data, tmp_path / "m")
    with pytest.raises(RecipeError, match="Cannot report metrics to nowhere"):
        run(tiny_recipe, data, tmp_path / "n", report_to=["nowhere"])
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(RecipeError, match="needs a C\\+\\+ compiler"):
        run(tiny_recipe.with_settings(["training.compile=true"]), data, tmp_path / "o")
    assert not any((tmp_path / name).exists() for name in "mno")


def test_options_are_asked_for_where_there_are_some(tmp_path: Path, tiny_recipe: Recipe, data: SplitFolder) -> None:
    from subjectwise.data.protocols import split_examples
    from subjectwise.data.split import write_split

    rows = [row.without_options() for row in data.examples("train")]
    bare = write_split(
        tmp_path / "bare", rows, split_examples(rows, "grouped"), protocol="grouped", seed=1, source="bare"
    )
    recipe = one_epoch(tiny_recipe, "training.options_share=0.5", "training.option_halves=1")
    with pytest.raises(RecipeError, match="the data has no options; set it to 0"):
        run(recipe, bare, tmp_path / "m")
    assert run(recipe, data, tmp_path / "m").epochs == 1


def test_rows_beside_the_split_are_trained_on(tmp_path: Path, tiny_recipe: Recipe, data: SplitFolder) -> None:
    duplicate = replace(data.examples("test")[0], row_id="duplicate")
    own = Example("own", Question("An entirely different matter, never seen before?"), data.labels.names[0])
    run(one_epoch(tiny_recipe), data, tmp_path / "model", also=[duplicate, own])
    assert read_config(tmp_path / "model").results["also"] == {"rows": 1, "sha256": rows_sha256([own])}
    assert "--also FILE" in (tmp_path / "model" / "README.md").read_text()
    with pytest.raises(DataError, match="Row own .* 'astrology'"):
        run(one_epoch(tiny_recipe), data, tmp_path / "other", also=[replace(own, label="astrology")])
    assert not (tmp_path / "other").exists()


def live(kind: type) -> int:
    return sum(isinstance(item, kind) for item in gc.get_objects())


@pytest.mark.parametrize("name", ["small", "head"])
def test_model_and_optimizer_are_freed_before_calibration(
    tmp_path: Path, tiny_recipe: Recipe, data: SplitFolder, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import PreTrainedModel

    counted: list[tuple[int, int]] = []

    def counting(*args: Any, **options: Any) -> Any:
        counted.append((live(PreTrainedModel), live(torch.optim.Optimizer)))
        return calibrate(*args, **options)

    monkeypatch.setattr(train_module, "calibrate", counting)
    gc.collect()
    before = live(PreTrainedModel), live(torch.optim.Optimizer)
    recipe = tiny_recipe if name == "small" else replace(load_recipe("head", ["prompt.max_tokens=48"]))
    run(one_epoch(replace(recipe, base=tiny_recipe.base)), data, tmp_path / "m")
    assert counted == [before]


def test_a_small_validation_is_a_warning(tmp_path: Path, tiny_recipe: Recipe, data: SplitFolder) -> None:
    result = run(one_epoch(tiny_recipe), data, tmp_path / "m")
    rows = len(data.examples("validation"))
    assert result.warning.startswith(f"{rows} validation rows are too few")
    assert json.loads((tmp_path / "m/subjectwise.json").read_text())["results"]["validation"]["rows"] == rows
