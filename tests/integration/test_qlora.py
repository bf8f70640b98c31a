"""An adapter trained on a base in 4 bits learns, has the right gradients, and is saved as any other."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from helpers.folders import read
from helpers.requirements import requires_bitsandbytes
from helpers.tiny_models import TINY_SETTINGS, make_rows, needs_base, save_base, tiny_config
from helpers.training import CPU, interrupted_at, label_batch, randomise_adapter
from subjectwise.classifier import Classifier
from subjectwise.data.split import open_split
from subjectwise.engines.label_trie import LabelTrie
from subjectwise.engines.pytorch.engine import PyTorchEngine
from subjectwise.engines.pytorch.output_head import check_head
from subjectwise.errors import BaseModelError
from subjectwise.models.base_model import load_base
from subjectwise.models.devices import Compute
from subjectwise.models.label_scores import LabelScorer
from subjectwise.models.model_folder import load_model
from subjectwise.recipe import Recipe, load_recipe
from subjectwise.records import Question
from subjectwise.text.prompt import Prompt
from subjectwise.training.losses import token_loss
from subjectwise.training.tasks import with_adapter
from subjectwise.training.train import train
from subjectwise.training.training_rows import RowView

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
            train(recipe, open_split(split_folder), output, compute=Compute("cpu", dtype), progress=False)
            made[name, dtype] = output
        return made[name, dtype]

    return make


@requires_bitsandbytes
@pytest.mark.parametrize(("name", "dtype"), [("small", "float32"), ("small", "bfloat16"), ("head", "bfloat16")])
def test_it_learns_and_answers_in_full_precision(
    trained: Callable[[str, str], Path], tiny_base: Path, name: str, dtype: str
) -> None:
    folder = trained(name, dtype)
    kept = read(folder / "subjectwise.json")
    epochs = kept["results"]["epochs"]
    assert min(epoch["nll"] for epoch in epochs) < epochs[0]["nll"]
    assert kept["results"]["validation"]["accuracy"] > 0.5, "four labels; chance is 0.25"
    assert kept["recipe"]["lora"]["quantize"] == "nf4"

    plain = load_base(str(tiny_base), device="cpu", labels=kept["labels"] if name == "head" else ())
    assert kept["base"] == {**asdict(plain.info), "name": plain.info.public_name}
    assert not load_model(folder, compute=CPU).warning
    answers = Classifier.from_pretrained(folder, device="cpu", dtype="float32").classify(QUESTIONS)
    assert len({answer.label for answer in answers}) > 2


@requires_bitsandbytes
def test_the_adapter_is_saved_as_any_other(trained: Callable[[str, str], Path], tiny_model: Path) -> None:
    folder = trained("small", "float32")
    ours, theirs = (load_file(path / "adapter_model.safetensors") for path in (folder, tiny_model))
    assert {name: (tensor.shape, tensor.dtype) for name, tensor in ours.items()} == {
        name: (tensor.shape, tensor.dtype) for name, tensor in theirs.items()
    }
    mine, usual = (read(path / "adapter_config.json") for path in (folder, tiny_model))
    assert mine == usual


@requires_bitsandbytes
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


@requires_bitsandbytes
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
        model = with_adapter(base, recipe)
        randomise_adapter(model)
        scorer = LabelScorer(PyTorchEngine(model, prompt.prefix_ids), prompt)
        scores = scorer.score(scorer.encode([Question(text) for text in QUESTIONS]))
        views = [RowView(*divmod(key, 2)) for key in range(0, 24, 3)]
        batch = label_batch(data.examples("train"), prompt, LabelTrie(prompt.label_ids, prompt.end_ids), views=views)
        model.train()
        token_loss(model, prompt.prefix_ids, True, batch, per_row=True).backward()  # type: ignore[no-untyped-call]
        gradients = {name: weight.grad for name, weight in model.named_parameters() if weight.requires_grad}
        values.append((torch.from_numpy(scores.log_probs), gradients))
    (expected_scores, expected), (our_scores, ours) = values
    torch.testing.assert_close(our_scores, expected_scores, atol=1e-4, rtol=1e-4)
    assert max(float(gradient.abs().max()) for gradient in expected.values()) > 1e-3
    for name, gradient in expected.items():
        torch.testing.assert_close(ours[name], gradient, atol=1e-5, rtol=1e-3, msg=name)


@requires_bitsandbytes
@pytest.mark.parametrize("name", SETTINGS)
def test_an_interrupted_run_ends_with_the_same_weights(
    tmp_path: Path, tiny_base: Path, split_folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    recipe = recipe_for(name, tiny_base, "training.epochs=2", "training.checkpoint_steps=3", "lora.dropout=0.1")

    def start(output: str) -> dict[str, torch.Tensor]:
        train(recipe, open_split(split_folder), tmp_path / output, compute=CPU, progress=False)
        weights: dict[str, torch.Tensor] = load_file(tmp_path / output / "adapter_model.safetensors")
        return weights

    whole = start("whole")
    with interrupted_at(10, monkeypatch):
        start("killed")
    assert list((tmp_path / "killed.checkpoints").glob("checkpoint-*"))
    killed = start("killed")
    assert whole.keys() == killed.keys() and all(torch.equal(whole[key], killed[key]) for key in whole)


@needs_base
@requires_bitsandbytes
def test_the_embedded_base_is_read_in_4_bits() -> None:
    loaded = load_base(device="cpu", four_bit=True)
    assert len(four_bit_layers(loaded.model)) == 30 * 7
    assert loaded.info == load_base(device="cpu").info


def test_without_bitsandbytes_one_sentence_says_what_to_install(
    tiny_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find_spec = importlib.util.find_spec

    def without(name: str, *more: Any) -> Any:
        return None if name == "bitsandbytes" else find_spec(name, *more)

    monkeypatch.setattr(importlib.util, "find_spec", without)
    with pytest.raises(BaseModelError, match=r"needs bitsandbytes; run: pip install 'subjectwise\[qlora\]'$"):
        load_base(str(tiny_base), device="cpu", four_bit=True)
    assert not four_bit_layers(load_base(str(tiny_base), device="cpu").model)
