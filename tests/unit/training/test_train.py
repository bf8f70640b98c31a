from __future__ import annotations

import copy
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from helpers.tiny_models import decoder_configs, save_base, tiny_config
from subjectwise.classifier import Classifier
from subjectwise.data.split import open_split, rows_sha256
from subjectwise.engines.pytorch.attention import register
from subjectwise.errors import DataError, ModelFolderError, OutputError, RecipeError
from subjectwise.labels import LabelSet
from subjectwise.models.base_model import load_base
from subjectwise.models.label_scores import LabelTrie, score_plain
from subjectwise.models.lora import read_adapter
from subjectwise.recipe import Recipe, load_recipe
from subjectwise.records import Example, Question
from subjectwise.text.prompt import Prompt
from subjectwise.training.batch_order import LengthBatches, Shown, TrainingRows, batch_loss
from subjectwise.training.tasks import with_adapter
from subjectwise.training.train import last_checkpoint, train
from subjectwise.training.trainer import LabelTrainer
from subjectwise.utils.atomic_files import file_sha256


def adapted(base_folder: Path, recipe: Recipe, labels: Any) -> tuple[Any, Prompt, LabelTrie]:
    base = load_base(str(base_folder), device="cpu", dtype="float32", attention=register())
    prompt = Prompt(base.tokenizer, labels, recipe.prompt)
    model = with_adapter(base, recipe)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:  # zero at first, which would leave half of the gradients zero
            torch.nn.init.normal_(parameter, std=0.02)
    return model, prompt, LabelTrie(prompt.label_ids, prompt.end_ids)


def gradients(model: Any) -> dict[str, torch.Tensor]:
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.requires_grad}
    model.zero_grad()
    return found


@pytest.mark.parametrize("loss", ["label", "answer"])
def test_a_shared_prefix_has_the_same_gradients(tiny_base: Path, split_folder: Path, loss: str) -> None:
    data = open_split(split_folder)
    recipe = load_recipe("small", ["prompt.style=plain", "lora.dropout=0"])
    model, prompt, trie = adapted(tiny_base, recipe, data.labels)
    rows = TrainingRows(data.examples("train"), prompt, trie, loss)
    batch = [rows[Shown(*divmod(key, 2))] for key in range(0, 24, 3)]
    values = []
    for share in (True, False):
        value = batch_loss(model, prompt.prefix_ids, share, batch, per_row=True)
        value.backward()  # type: ignore[no-untyped-call]
        values.append((value.item(), gradients(model)))
    assert values[0][0] == pytest.approx(values[1][0], abs=1e-5)
    assert any(float(gradient.abs().max()) > 1e-4 for gradient in values[0][1].values())
    for name, gradient in values[0][1].items():
        torch.testing.assert_close(gradient, values[1][1][name], atol=1e-5, rtol=1e-3)


def test_label_loss_is_what_scoring_reads(tiny_base: Path, split_folder: Path) -> None:
    data = open_split(split_folder)
    recipe = load_recipe("small")
    model, prompt, trie = adapted(tiny_base, recipe, data.labels)
    examples = data.examples("train")[:6]
    rows = TrainingRows(examples, prompt, trie, "label")
    with torch.no_grad():
        loss = batch_loss(model, prompt.prefix_ids, False, [rows[Shown(i)] for i in range(6)], per_row=True).item()
    expected = []
    for example in examples:
        ids = [*prompt.prefix_ids, *prompt.encode_question(example.question)]
        scored = score_plain(model, ids, trie)
        label = prompt.labels.index(example.label)
        expected.append(-scored.log_probs[0, label] - np.log(scored.label_mass[0]))
    assert loss == pytest.approx(float(np.mean(expected)), abs=1e-4)


def test_smoothing_spreads_over_the_labels_of_each_place(tiny_base: Path, split_folder: Path) -> None:
    data = open_split(split_folder)
    model, prompt, trie = adapted(tiny_base, load_recipe("small"), data.labels)
    rows = TrainingRows(data.examples("train")[:6], prompt, trie, "label")
    batch = [rows[Shown(i)] for i in range(6)]
    with torch.no_grad():
        sharp, half, flat = (
            batch_loss(model, prompt.prefix_ids, False, batch, per_row=True, smoothing=share).item()
            for share in (0.0, 0.5, 1.0)
        )
    assert half == pytest.approx((sharp + flat) / 2, abs=1e-5)
    expected = []
    for item in batch:
        with torch.no_grad():
            logits = model.get_base_model()(input_ids=torch.tensor([[*prompt.prefix_ids, *item.ids]])).logits[0]
        places = logits[-len(item.targets) :].log_softmax(dim=-1)
        expected.append(-sum(float(row[tokens].mean()) for row, tokens in zip(places, item.choices, strict=True)))
    assert flat == pytest.approx(float(np.mean(expected)), abs=1e-4)
    assert all(target in tokens for item in batch for target, tokens in zip(item.targets, item.choices, strict=True))


def test_halves_of_the_options_are_views_of_a_row(tiny_base: Path) -> None:
    labels = LabelSet.from_names(["law", "math"])
    options = tuple(f"answer{i}" for i in range(6))
    examples = [Example(str(i), Question("What holds?", options), label) for i, label in enumerate(labels.names)]
    _, prompt, trie = adapted(tiny_base, load_recipe("small"), labels)
    rows = TrainingRows(examples, prompt, trie, "label", halves=2, seed=3)
    assert len(rows) == 2 and rows.lengths.shape == (4, 2)
    text, whole, *halves = (prompt.tokenizer.decode(rows[Shown(0, view)].ids) for view in range(4))
    assert "answer" not in text and all(option in whole for option in options)
    for half in halves:
        assert sum(option in half for option in options) == 3
    assert halves[0] != halves[1]


def test_sequence_loss_is_the_causal_models_own(tiny_base: Path, split_folder: Path) -> None:
    data = open_split(split_folder)
    model, prompt, trie = adapted(tiny_base, load_recipe("small"), data.labels)
    examples = data.examples("train")[:1]
    row = TrainingRows(examples, prompt, trie, "sequence")[Shown(0)]
    whole = torch.tensor([[*row.ids, row.targets[-1]]])
    with torch.no_grad():
        mine = batch_loss(model, [], False, [row], per_row=False)
        theirs = model(input_ids=whole, labels=whole).loss
    torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-5)


def test_batches_depend_on_seed_and_epoch_alone() -> None:
    lengths = np.stack([np.arange(50) % 17 + 1, np.arange(50) % 17 + 30])
    batches = LengthBatches(lengths, 8, 0.3, seed=1)
    first = list(batches)
    assert len(first) == len(batches) == 7
    assert sorted(key.row for batch in first for key in batch) == list(range(50))
    shown = sum(key.view for batch in first for key in batch)
    assert 5 <= shown <= 25
    assert first == list(LengthBatches(lengths, 8, 0.3, seed=1))
    batches.set_epoch(1)
    assert first != list(batches)
    assert all(key == Shown(key.row) for batch in LengthBatches(lengths, 8, 0.0, seed=1) for key in batch)


def test_training_learns_and_keeps_the_best_epoch(tiny_model: Path) -> None:
    config = json.loads((tiny_model / "subjectwise.json").read_text())
    curve = config["results"]["epochs"]
    assert config["results"]["validation"]["accuracy"] > 0.6, "four labels; chance is 0.25"
    assert config["results"]["best_epoch"] == min(curve, key=lambda epoch: epoch["nll"])["epoch"]
    assert not tiny_model.with_name("tiny.checkpoints").exists()


def test_a_log_has_a_line_an_epoch(
    tmp_path: Path, tiny_recipe: Recipe, split_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = replace(tiny_recipe, training=replace(tiny_recipe.training, epochs=2, batch_size=4))
    train(recipe, open_split(split_folder), tmp_path / "m", device="cpu", dtype="float32")
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in lines] == ["epoch 1 of 2", "epoch 2 of 2"]


def test_what_training_cost_is_kept(tiny_model: Path) -> None:
    cost = json.loads((tiny_model / "subjectwise.json").read_text())["results"]["cost"]
    adapter = load_file(tiny_model / "adapter_model.safetensors")
    assert cost["trainable_parameters"] == sum(tensor.numel() for tensor in adapter.values())
    assert cost["trainable_parameters"] < cost["parameters"]
    assert cost["peak_memory_bytes"] > 4 * cost["parameters"]
    assert cost["seconds"] > 0 and cost["device"] == "cpu" and not cost["resumed"]
    assert f"{cost['trainable_parameters']:,} of" in (tiny_model / "README.md").read_text()


@pytest.mark.parametrize("loss", ["answer", "sequence"])
@pytest.mark.parametrize("style", ["plain", "chat"])
def test_every_loss_and_style_trains(
    tmp_path: Path, tiny_recipe: Recipe, split_folder: Path, loss: str, style: str
) -> None:
    recipe = replace(
        tiny_recipe,
        prompt=replace(tiny_recipe.prompt, style=style, with_options=True),
        training=replace(tiny_recipe.training, loss=loss, epochs=1, gradient_accumulation=2, validation_rows=8),
        lora=replace(tiny_recipe.lora, dropout=0.05),
    )
    result = train(recipe, open_split(split_folder), tmp_path / "m", compute=Compute("cpu", "float32"), progress=False)
    assert (result.folder / "adapter_model.safetensors").is_file()


@pytest.mark.parametrize("kind", list(decoder_configs(600)))
def test_every_kind_of_decoder_trains(
    tmp_path: Path, tiny_recipe: Recipe, split_folder: Path, tokenizer: Any, kind: str
) -> None:
    plain = copy.deepcopy(tokenizer)
    plain.pad_token = plain.chat_template = None
    base = save_base(tmp_path / "base", decoder_configs(len(plain))[kind], plain)
    recipe = replace(
        tiny_recipe,
        base=str(base),
        prompt=replace(tiny_recipe.prompt, style="plain"),
        training=replace(tiny_recipe.training, epochs=1, share_prefix="auto"),
    )
    data = open_split(split_folder)
    result = train(recipe, data, tmp_path / "m", compute=Compute("cpu", "float32"), progress=False)
    classifier = Classifier.from_pretrained(result.folder, device="cpu", dtype="float32")
    held = data.examples("validation")
    answers = classifier.classify([row.question for row in held])
    right = [answer.label == row.label for answer, row in zip(answers, held, strict=True)]
    assert np.mean(right) == pytest.approx(result.accuracy), "the folder answers as training measured it"


def test_bfloat16_trains(tmp_path: Path, tiny_recipe: Recipe, split_folder: Path) -> None:
    recipe = replace(tiny_recipe, training=replace(tiny_recipe.training, epochs=1))
    result = train(recipe, open_split(split_folder), tmp_path / "m", device="cpu", dtype="bfloat16", progress=False)
    assert np.isfinite(result.nll)


_RUN = """
import sys
from dataclasses import replace
from pathlib import Path
from subjectwise.data.split import open_split, rows_sha256
from subjectwise.recipe import load_recipe
from subjectwise.training.train import train
from subjectwise.models.devices import Compute
base, data, output = sys.argv[1:]
recipe = replace(load_recipe("small", ["training.epochs=4", "training.batch_size=4", "training.compile=false",
    "training.checkpoint_steps=3", "lora.dropout=0.1", "training.learning_rate=3e-3"]), base=base)
train(recipe, open_split(data), Path(output), compute=Compute("cpu", "float32"), progress=False)
"""


def test_killed_at_a_random_moment_it_ends_with_the_same_weights(
    tmp_path: Path, tiny_base: Path, split_folder: Path
) -> None:
    script = tmp_path / "run.py"
    script.write_text(_RUN)

    def command(output: str) -> list[str]:
        return [sys.executable, str(script), str(tiny_base), str(split_folder), str(tmp_path / output)]

    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(command("whole"), check=True, env=environment, capture_output=True)
    generator = random.Random(os.environ.get("PYTEST_SEED", "seven"))
    kills = 0
    for _ in range(2):
        process = subprocess.Popen(
            command("killed"), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        checkpoints = tmp_path / "killed.checkpoints"
        before = len(list(checkpoints.glob("checkpoint-*")))
        while process.poll() is None and len(list(checkpoints.glob("checkpoint-*"))) <= min(before, 1):
            time.sleep(0.02)
        time.sleep(generator.random() * 0.7)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait()
    assert kills, "the run ended before it could be killed"
    assert not (tmp_path / "killed").exists()
    subprocess.run(command("killed"), check=True, env=environment, capture_output=True)
    whole = load_file(tmp_path / "whole/adapter_model.safetensors")
    killed = load_file(tmp_path / "killed/adapter_model.safetensors")
    for name, tensor in whole.items():
        assert torch.equal(tensor, killed[name]), name
    results = [
        json.loads((tmp_path / name / "subjectwise.json").read_text())["results"] for name in ("whole", "killed")
    ]
    assert results[0]["validation"] == results[1]["validation"]


def test_killed_as_an_epoch_is_evaluated_it_evaluates_it_again(
    tmp_path: Path, tiny_recipe: Recipe, split_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = replace(tiny_recipe.training, epochs=2, checkpoint_steps=2)  # eight steps an epoch: one falls on its end
    recipe, data = replace(tiny_recipe, training=training), open_split(split_folder)

    def killed(trainer: LabelTrainer, *args: object, **kwargs: object) -> None:
        assert float(trainer.state.epoch or 0).is_integer()
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(LabelTrainer, "evaluate", killed)
        with pytest.raises(KeyboardInterrupt):
            train(recipe, data, tmp_path / "m", compute=Compute("cpu", "float32"), progress=False)
    assert last_checkpoint(tmp_path / "m.checkpoints") == tmp_path / "m.checkpoints/checkpoint-6"
    assert train(recipe, data, tmp_path / "m", compute=Compute("cpu", "float32"), progress=False).epochs == 2


def test_half_written_checkpoints_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "checkpoint-9").mkdir()
    (tmp_path / "checkpoint-10").mkdir()
    (tmp_path / "checkpoint-9/trainer_state.json").write_text("{}")
    (tmp_path / "checkpoint-10/trainer_state.json").write_text('{"half')
    found = last_checkpoint(tmp_path)
    assert found is not None and found.name == "checkpoint-9"
    assert not (tmp_path / "checkpoint-10").exists()


def test_half_of_the_rows_are_noisy_where_that_is_asked_for(
    tmp_path: Path, tiny_recipe: Recipe, split_folder: Path, tiny_base: Path
) -> None:
    data = open_split(split_folder)
    lengths = np.stack([np.full(200, 9), np.full(200, 30)])
    batches = LengthBatches(lengths, 8, 0.5, seed=1, noisy_share=0.5)
    first = [key for batch in batches for key in batch]
    assert 70 < sum(bool(key.noise) for key in first) < 130
    batches.set_epoch(1)
    again = {key.row: key.noise for batch in batches for key in batch}
    assert any(again[key.row] and key.noise and again[key.row] != key.noise for key in first), "each epoch has its own"

    labels = data.labels
    _, prompt, trie = adapted(tiny_base, load_recipe("small"), labels)
    rows = TrainingRows(data.examples("train"), prompt, trie, "label", augment="noise")
    clean, noisy = rows[Shown(0)], [rows[Shown(0, 0, (1, 0, number))] for number in range(20)]
    assert sum(item.ids != clean.ids for item in noisy) > 10 and all(item.targets == clean.targets for item in noisy)
    assert noisy[3] == rows[Shown(0, 0, (1, 0, 3))]

    recipe = replace(tiny_recipe, training=replace(tiny_recipe.training, augment="noise", epochs=1))
    result = train(recipe, data, tmp_path / "m", compute=Compute("cpu", "float32"), progress=False)
    assert json.loads((result.folder / "subjectwise.json").read_text())["recipe"]["training"]["augment"] == "noise"
    assert "augment" not in tiny_recipe.to_dict()["training"]
    with pytest.raises(RecipeError, match=r"training.augment is 'much'"):
        load_recipe("small", ["training.augment=much"])


def test_an_adapter_is_trained_further(
    tmp_path: Path, tiny_model: Path, tiny_recipe: Recipe, split_folder: Path
) -> None:
    data = open_split(split_folder)
    # At a rate that changes next to nothing, and at a rank that the adapter does not have.
    settings = ["training.epochs=1", "training.learning_rate=1e-9", "lora.r=3"]
    recipe = replace(load_recipe("small", settings), base=tiny_recipe.base)
    train(recipe, data, tmp_path / "m", start=tiny_model, compute=Compute("cpu", "float32"), progress=False)
    before, after = read_adapter(tiny_model), read_adapter(tmp_path / "m")
    assert after.config["r"] == before.config["r"] and after.scale == before.scale
    for name, factors in before.factors.items():
        for old, new in zip(factors, after.factors[name], strict=True):
            torch.testing.assert_close(new, old)
    kept = json.loads((tmp_path / "m/subjectwise.json").read_text())
    assert kept["recipe"]["lora"]["r"] == before.config["r"]
    assert kept["results"]["start"]["sha256"] == file_sha256(tiny_model / "adapter_model.safetensors")
    assert "--from MODEL" in (tmp_path / "m" / "README.md").read_text()


def test_an_adapter_of_another_base_is_not_trained_further(
    tmp_path: Path, tiny_model: Path, tiny_recipe: Recipe, split_folder: Path, tokenizer: Any
) -> None:
    data = open_split(split_folder)
    wide = save_base(tmp_path / "wide", tiny_config(len(tokenizer), hidden_size=32), tokenizer)
    with pytest.raises(ModelFolderError, match="hidden_size 64"):
        train(replace(tiny_recipe, base=str(wide)), data, tmp_path / "m", start=tiny_model, progress=False)
    headed = replace(tiny_recipe, head=replace(tiny_recipe.head, tune="lora"))
    with pytest.raises(ModelFolderError, match="without a head"):
        train(headed, data, tmp_path / "m", start=tiny_model, progress=False)
    assert not (tmp_path / "m").exists()


def test_nothing_is_overwritten(tmp_path: Path, tiny_recipe: Recipe, split_folder: Path) -> None:
    data = open_split(split_folder)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="exists already"):
        train(tiny_recipe, data, tmp_path / "full", progress=False)
    (tmp_path / "other.checkpoints").mkdir()
    (tmp_path / "other.checkpoints/run.json").write_text('{"recipe": {}}')
    with pytest.raises(OutputError, match="belongs to a run with another recipe"):
        train(tiny_recipe, data, tmp_path / "other", progress=False)


def test_settings_that_do_not_fit_the_base(tmp_path: Path, tiny_recipe: Recipe, split_folder: Path) -> None:
    recipe = replace(tiny_recipe, lora=replace(tiny_recipe.lora, target_modules=("query",)))
    with pytest.raises(RecipeError, match="lora.target_modules do not fit"):
        train(recipe, open_split(split_folder), tmp_path / "m", device="cpu", progress=False)
    assert not (tmp_path / "m").exists()


def test_what_is_not_installed_is_said(
    tmp_path: Path, tiny_recipe: Recipe, split_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = open_split(split_folder)
    with pytest.raises(RecipeError, match="Metrics cannot be reported to nowhere"):
        train(tiny_recipe, data, tmp_path / "m", device="cpu", report_to=["nowhere"], progress=False)
    monkeypatch.setattr("shutil.which", lambda name: None)
    compiled = replace(tiny_recipe, training=replace(tiny_recipe.training, compile=True))
    with pytest.raises(RecipeError, match="needs a C\\+\\+ compiler"):
        train(compiled, data, tmp_path / "m", device="cpu", progress=False)


@pytest.mark.skipif(not shutil.which("c++"), reason="no C++ compiler on this machine")
def test_compiled_layers_have_the_same_gradients(tiny_base: Path, split_folder: Path) -> None:
    data = open_split(split_folder)
    values = []
    for compiled in ("true", "false"):
        model, prompt, trie = adapted(tiny_base, load_recipe("small", [f"training.compile={compiled}"]), data.labels)
        rows = TrainingRows(data.examples("train")[:8], prompt, trie, "label")
        loss = batch_loss(model, prompt.prefix_ids, False, [rows[Shown(place)] for place in range(8)], per_row=True)
        loss.backward()  # type: ignore[no-untyped-call]
        values.append(gradients(model))
    for name, gradient in values[0].items():
        torch.testing.assert_close(gradient, values[1][name], atol=1e-5, rtol=1e-3)


def test_rows_beside_the_split_are_trained_on_unless_they_are_twins_of_held_rows(
    tmp_path: Path, tiny_recipe: Recipe, split_folder: Path
) -> None:
    data = open_split(split_folder)
    twin = replace(data.examples("test")[0], row_id="twin")
    own = Example("own", Question("An entirely different matter, never seen before?"), data.labels.names[0])
    recipe = tiny_recipe.with_settings(["training.epochs=1"])
    train(recipe, data, tmp_path / "model", also=[twin, own], progress=False)
    config = json.loads((tmp_path / "model" / "subjectwise.json").read_text())
    assert config["results"]["also"] == {"rows": 1, "sha256": rows_sha256([own])}
    assert "--also FILE" in (tmp_path / "model" / "README.md").read_text()
    foreign = replace(own, label="astrology")
    with pytest.raises(DataError, match="Row own .* 'astrology'"):
        train(recipe, data, tmp_path / "other", also=[foreign], progress=False)
    assert not (tmp_path / "other").exists()


def test_two_processes_train_one_model(tmp_path: Path, tiny_base: Path, split_folder: Path) -> None:
    """`accelerate launch` changes the number of processes and nothing else."""
    command = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        "--cpu",
        "--num_processes",
        "2",
        "--num_machines",
        "1",
    ]
    command += ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    command += ["-m", "subjectwise.cli.app", "train", "small", "--data", str(split_folder), "--base", str(tiny_base)]
    command += ["--output", str(tmp_path / "m"), "--device", "cpu", "--dtype", "float32", "--set", "training.epochs=2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    found = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert found.returncode == 0, found.stderr
    config = json.loads((tmp_path / "m/subjectwise.json").read_text())
    assert len(config["results"]["epochs"]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
