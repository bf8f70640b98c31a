"""An adapter trained on a base in 4 bits learns, gets the right gradients, and is saved as any other."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import BertConfig, BertForMaskedLM, TrainerCallback

from helpers.tiny_models import TINY_SETTINGS, make_rows, needs_base, save_base, save_random, tiny_config
from subjectwise.classifier import Classifier
from subjectwise.data.split import open_split
from subjectwise.engines.pytorch.output_head import check_head
from subjectwise.errors import BaseModelError, RecipeError
from subjectwise.models.base_model import Base, load_base
from subjectwise.models.devices import Compute
from subjectwise.models.label_scores import LabelScorer, LabelTrie
from subjectwise.models.model_folder import load_model
from subjectwise.recipe import Recipe, load_recipe
from subjectwise.records import Question
from subjectwise.text.prompt import Prompt
from subjectwise.training import run
from subjectwise.training.batch_order import Shown, TrainingRows, batch_loss
from subjectwise.training.tasks import with_adapter
from subjectwise.training.train import train
from subjectwise.training.trainer import make_trainer

needs_bitsandbytes = pytest.mark.skipif(
    importlib.util.find_spec("bitsandbytes") is None,
    reason="bitsandbytes is not installed; run pip install -c constraints.txt bitsandbytes",
)
QUESTIONS = [row["question"] for row in make_rows()[::7]]
QLORA = ("lora.quantize=nf4", "training.learning_rate=5e-3")
SETTINGS = {"small": (), "head": ("prompt.max_tokens=48",)}


def recipe_for(name: str, base: Path, *settings: str) -> Recipe:
    return replace(load_recipe(name, [*TINY_SETTINGS, *SETTINGS[name], *QLORA, *settings]), base=str(base))


def four_bit_layers(model: Any) -> set[str]:
    return {name for name, module in model.named_modules() if type(module).__name__ == "Linear4bit"}


@pytest.fixture(scope="session")
def trained(
    tmp_path_factory: pytest.TempPathFactory, tiny_base: Path, split_folder: Path
) -> Callable[[str, str], Path]:
    """Model folders that were really trained, each once."""
    made: dict[tuple[str, str], Path] = {}

    def make(name: str, dtype: str) -> Path:
        if (name, dtype) not in made:
            recipe = recipe_for(name, tiny_base, "training.epochs=16", "training.patience=16")
            output = tmp_path_factory.mktemp("qlora") / f"{name}-{dtype}"
            train(recipe, open_split(split_folder), output, device="cpu", dtype=dtype, progress=False)
            made[name, dtype] = output
        return made[name, dtype]

    return make


@needs_bitsandbytes
@pytest.mark.parametrize(("name", "dtype"), [("small", "float32"), ("small", "bfloat16"), ("head", "bfloat16")])
def test_it_learns_and_answers_in_full_precision(
    trained: Callable[[str, str], Path], tiny_base: Path, name: str, dtype: str
) -> None:
    folder = trained(name, dtype)
    kept = json.loads((folder / "subjectwise.json").read_text())
    epochs = kept["results"]["epochs"]
    assert min(epoch["nll"] for epoch in epochs) < epochs[0]["nll"]
    assert kept["results"]["validation"]["accuracy"] > 0.5, "four labels; chance is 0.25"
    assert kept["recipe"]["lora"]["quantize"] == "nf4"

    plain = load_base(str(tiny_base), device="cpu", labels=kept["labels"] if name == "head" else ())
    assert kept["base"] == asdict(plain.info)
    assert not load_model(folder, device="cpu", dtype="float32").warning
    found = Classifier.from_pretrained(folder, device="cpu", dtype="float32").classify(QUESTIONS)
    assert len({answer.label for answer in found}) > 2


@needs_bitsandbytes
def test_the_adapter_is_saved_as_any_other(trained: Callable[[str, str], Path], tiny_model: Path) -> None:
    folder = trained("small", "float32")
    ours, theirs = (load_file(path / "adapter_model.safetensors") for path in (folder, tiny_model))
    assert {name: (tensor.shape, tensor.dtype) for name, tensor in ours.items()} == {
        name: (tensor.shape, tensor.dtype) for name, tensor in theirs.items()
    }
    mine, usual = (json.loads((path / "adapter_config.json").read_text()) for path in (folder, tiny_model))
    assert mine == usual


@needs_bitsandbytes
@pytest.mark.parametrize("tied", [True, False])
def test_embeddings_and_heads_are_not_quantized(tmp_path: Path, tokenizer: Any, tied: bool) -> None:
    folder = save_base(tmp_path / "base", tiny_config(len(tokenizer), tie_word_embeddings=tied), tokenizer)
    for labels in ((), ("law", "math")):
        loaded = load_base(str(folder), device="cpu", dtype="bfloat16", labels=labels, four_bit=True)
        assert len(four_bit_layers(loaded.model)) == 2 * 7, "the seven projections of both layers"
        plain = [weight for weight in loaded.model.parameters() if type(weight).__name__ != "Params4bit"]
        assert {weight.dtype for weight in plain} == {torch.bfloat16}
        if not labels:
            check_head(loaded.model)


def adapted(base: Base, recipe: Recipe) -> Any:
    model = with_adapter(base, recipe)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:  # zero at first, which would leave half of the gradients zero
            torch.nn.init.normal_(parameter, std=0.02)
    return model


@needs_bitsandbytes
def test_gradients_are_those_of_the_rounded_base_and_stay_so_after_scoring(tiny_base: Path, split_folder: Path) -> None:
    data = open_split(split_folder)
    recipe = recipe_for("small", tiny_base, "prompt.style=plain")
    values = []
    for rounded in (True, False):
        base = load_base(str(tiny_base), device="cpu", dtype="float32", attention="eager", four_bit=True)
        if rounded:
            base.model.dequantize(dtype=torch.float32)
        assert rounded != bool(four_bit_layers(base.model))
        prompt = Prompt(base.tokenizer, data.labels, recipe.prompt)
        model = adapted(base, recipe)
        rows = TrainingRows(data.examples("train"), prompt, LabelTrie(prompt.label_ids, prompt.end_ids), "label")
        scores = LabelScorer(model, prompt).score([Question(text) for text in QUESTIONS])
        model.train()
        batch_loss(
            model, prompt.prefix_ids, True, [rows[Shown(*divmod(key, 2))] for key in range(0, 24, 3)], per_row=True
        ).backward()  # type: ignore[no-untyped-call]
        found = {name: weight.grad for name, weight in model.named_parameters() if weight.requires_grad}
        values.append((torch.from_numpy(scores.log_probs), found))
    (expected_scores, expected), (found_scores, gradients) = values
    torch.testing.assert_close(found_scores, expected_scores, atol=1e-4, rtol=1e-4)
    assert max(float(gradient.abs().max()) for gradient in expected.values()) > 1e-3
    for name, gradient in expected.items():
        torch.testing.assert_close(gradients[name], gradient, atol=1e-5, rtol=1e-3, msg=name)


class InterruptedRunError(Exception):
    pass


class _Stop(TrainerCallback):  # type: ignore[misc]
    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == 10:
            raise InterruptedRunError


@needs_bitsandbytes
@pytest.mark.parametrize("name", SETTINGS)
def test_an_interrupted_run_ends_with_the_same_weights(
    tmp_path: Path, tiny_base: Path, split_folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    recipe = recipe_for(name, tiny_base, "training.epochs=2", "training.checkpoint_steps=3", "lora.dropout=0.1")

    def start(output: str) -> dict[str, torch.Tensor]:
        train(recipe, open_split(split_folder), tmp_path / output, compute=Compute("cpu", "float32"), progress=False)
        weights: dict[str, torch.Tensor] = load_file(tmp_path / output / "adapter_model.safetensors")
        return weights

    whole = start("whole")

    def stopping(report_to: Any, **options: Any) -> Any:
        return make_trainer(report_to, **(options | {"callbacks": [_Stop()]}))

    with monkeypatch.context() as patch:
        patch.setattr(run, "make_trainer", stopping)
        with pytest.raises(InterruptedRunError):
            start("killed")
    assert list((tmp_path / "killed.checkpoints").glob("checkpoint-*"))
    killed = start("killed")
    assert whole.keys() == killed.keys() and all(torch.equal(whole[key], killed[key]) for key in whole)


@needs_base
@needs_bitsandbytes
def test_the_embedded_base_is_read_in_4_bits() -> None:
    loaded = load_base(device="cpu", four_bit=True)
    assert len(four_bit_layers(loaded.model)) == 30 * 7
    assert loaded.info == load_base(device="cpu").info


def test_without_bitsandbytes_one_sentence_says_what_to_install(
    tiny_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = importlib.util.find_spec

    def without(name: str, *more: Any) -> Any:
        return None if name == "bitsandbytes" else usual(name, *more)

    monkeypatch.setattr(importlib.util, "find_spec", without)
    with pytest.raises(BaseModelError, match=r"needs bitsandbytes; run: pip install 'subjectwise\[qlora\]'$"):
        load_base(str(tiny_base), device="cpu", four_bit=True)
    assert not four_bit_layers(load_base(str(tiny_base), device="cpu").model)


def test_an_encoder_is_refused(tmp_path: Path, tokenizer: Any) -> None:
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2}
    folder = save_random(tmp_path / "bert", BertForMaskedLM(BertConfig(vocab_size=len(tokenizer), **sizes)), tokenizer)
    with pytest.raises(BaseModelError, match="bert is an encoder, and only decoders are read in 4 bits"):
        load_base(str(folder), device="cpu", labels=("law", "math"), four_bit=True)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("small", ["lora.quantize=int8"], "lora.quantize is 'int8'; it must be one of none, nf4."),
        ("small", ["lora.quantize=4"], "lora.quantize is 4; it must be text."),
        ("small", ["lora.quantise=nf4"], "the nearest one is 'lora.quantize'"),
        ("head", ["lora.quantize=nf4", "head.tune=full"], "it must be none where head.tune is full, which trains no"),
        ("head", ["lora.quantize=nf4", "head.tune=frozen"], "none where head.tune is frozen"),
    ],
)
def test_what_makes_no_sense_is_refused(name: str, settings: list[str], message: str) -> None:
    with pytest.raises(RecipeError) as refused:
        load_recipe(name, settings)
    assert message in str(refused.value)


def test_a_recipe_names_it_only_where_it_is_used() -> None:
    plain, quantized = load_recipe("small"), load_recipe("small", ["lora.quantize=nf4"])
    assert "quantize" not in plain.to_dict()["lora"]
    assert Recipe.from_dict(quantized.to_dict()) == quantized and quantized.lora.quantize == "nf4"
