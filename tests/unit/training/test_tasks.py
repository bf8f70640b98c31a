"""From a recipe to what is trained: which weights have gradients, from which values they start."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from helpers.encoders import LABELS
from helpers.tiny_models import save_base, tiny_config
from helpers.training import adapted, gradients, head_recipe, label_batch
from subjectwise.data.split import open_split
from subjectwise.errors import ModelFolderError, RecipeError
from subjectwise.models.base_model import load_base
from subjectwise.models.lora import read_adapter
from subjectwise.recipe import Recipe, load_recipe
from subjectwise.training.losses import token_loss
from subjectwise.training.tasks import head_task, label_task, start_from, with_adapter


def trainable(base: Path, split_folder: Path, *settings: str) -> set[str]:
    examples = open_split(split_folder).examples("train")[:4]
    task = head_task(head_recipe(base, *settings), LABELS, examples, "cpu", "float32", None)
    return {name for name, weight in task.base.model.named_parameters() if weight.requires_grad}


def test_an_adapter_and_the_head_are_trained(head_bases: dict[str, Path], split_folder: Path) -> None:
    names = trainable(head_bases["decoder"], split_folder)
    assert any("lora_A" in name for name in names)
    head = "base_model.model.score.modules_to_save.default.weight"
    assert head in names and all("lora_" in name for name in names - {head})
    assert any("query.lora_A" in name for name in trainable(head_bases["bert"], split_folder))
    one = trainable(head_bases["bert"], split_folder, "lora.target_modules=[query]")
    assert sum("lora_A" in name for name in one) == 2


def test_every_weight_or_the_head_alone_is_trained(head_bases: dict[str, Path], split_folder: Path) -> None:
    assert trainable(head_bases["decoder"], split_folder, "head.tune=frozen") == {"score.weight"}
    whole = load_base(str(head_bases["bert"]), device="cpu", labels=LABELS.names).model
    assert trainable(head_bases["bert"], split_folder, "head.tune=full") == {
        name for name, _ in whole.named_parameters()
    }
    # The base of ModernBERT has no prediction layer, which is therefore as new as the classifier.
    names = trainable(head_bases["modernbert"], split_folder, "head.tune=frozen")
    assert {"head.dense.weight", "head.norm.weight"} <= names


@pytest.mark.parametrize(
    ("kind", "settings", "part"),
    [
        ("bert", ("prompt.max_tokens=67",), "reads at most 66 tokens"),
        ("mpnet", ("prompt.max_tokens=65",), "reads at most 64 tokens"),
        ("bert", ("training.compile=true",), "training.compile is for decoders"),
        ("bert", ("lora.target_modules=[nothing]",), "lora.target_modules do not fit"),
        ("decoder", ("lora.target_modules=[query]",), "lora.target_modules do not fit"),
    ],
)
def test_settings_that_do_not_fit_the_base(
    head_bases: dict[str, Path], split_folder: Path, kind: str, settings: tuple[str, ...], part: str
) -> None:
    with pytest.raises(RecipeError, match=part) as caught:
        trainable(head_bases[kind], split_folder, *settings)
    assert "\n" not in str(caught.value)


@pytest.fixture
def one_layer(tmp_path: Path, tokenizer: Any) -> Path:
    """A base that compiles soon."""
    config = tiny_config(len(tokenizer), num_hidden_layers=1, hidden_size=32, intermediate_size=32)
    return save_base(tmp_path / "one-layer", config, tokenizer)


def compiled_gradients(backend: str, base: Path, split_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hold the gradients of layers compiled by a backend equal to those of layers that are not compiled."""
    compile_module, compiled = torch.nn.Module.compile, list[torch.nn.Module]()

    def compile_for_backend(module: torch.nn.Module, **options: Any) -> None:
        compiled.append(module)
        compile_module(module, backend=backend, **options)

    monkeypatch.setattr(torch.nn.Module, "compile", compile_for_backend)
    data = open_split(split_folder)
    values = []
    for setting in ("true", "false"):
        recipe = load_recipe("small", [f"training.compile={setting}", "lora.target_modules=[q_proj, down_proj]"])
        model, prompt, trie = adapted(base, recipe, data.labels)
        batch = label_batch(data.examples("train")[:4], prompt, trie)
        token_loss(model, prompt.prefix_ids, False, batch, per_row=True).backward()  # type: ignore[no-untyped-call]
        values.append(gradients(model))
        layers = list(model.get_base_model().get_decoder().layers)
        assert [layer in compiled for layer in layers] == [setting == "true"] * len(layers)
    for name, gradient in values[0].items():
        torch.testing.assert_close(gradient, values[1][name], atol=1e-5, rtol=1e-3)


@pytest.mark.slow  # 60 s: the C++ compiler
@pytest.mark.skipif(not shutil.which("c++"), reason="no C++ compiler on this machine")
def test_layers_compiled_for_this_processor_have_the_same_gradients(
    one_layer: Path, split_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled_gradients("inductor", one_layer, split_folder, monkeypatch)


def test_compiled_layers_have_the_same_gradients(
    one_layer: Path, split_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled_gradients("aot_eager", one_layer, split_folder, monkeypatch)


def test_an_adapter_starts_from_the_weights_of_another(
    tiny_model: Path, tiny_recipe: Recipe, split_folder: Path
) -> None:
    data = open_split(split_folder)
    task = label_task(tiny_recipe, data.labels, data.examples("train")[:4], "cpu", "float32", None)
    start_from(task.base, tiny_model)
    ours = {name: weight.detach() for name, weight in task.base.model.named_parameters() if "lora_" in name}
    for name, (a, b) in read_adapter(tiny_model).factors.items():
        torch.testing.assert_close(ours[f"{name}.lora_A.default.weight"], torch.from_numpy(a))
        torch.testing.assert_close(ours[f"{name}.lora_B.default.weight"], torch.from_numpy(b))


def test_an_adapter_of_another_base_is_refused(
    tmp_path: Path, tiny_model: Path, tiny_recipe: Recipe, split_folder: Path, tokenizer: Any
) -> None:
    data = open_split(split_folder)
    wide = save_base(tmp_path / "wide", tiny_config(len(tokenizer), hidden_size=32), tokenizer)
    task = label_task(
        replace(tiny_recipe, base=str(wide)), data.labels, data.examples("train")[:4], "cpu", "float32", None
    )
    with pytest.raises(ModelFolderError, match="hidden_size 64"):
        start_from(task.base, tiny_model)
    fewer = tiny_recipe.with_settings(["lora.target_modules=[q_proj]"])
    base = load_base(fewer.base, device="cpu", dtype="float32")
    with pytest.raises(ModelFolderError, match="does not fit its base at"):
        start_from(replace(base, model=with_adapter(base, fewer)), tiny_model)


def test_the_training_vocabulary_is_counted_where_spelling_is_corrected(
    tiny_recipe: Recipe, split_folder: Path
) -> None:
    data = open_split(split_folder)
    recipe = tiny_recipe.with_settings(["prompt.spelling=en"])
    assert label_task(recipe, data.labels, data.examples("train"), "cpu", "float32", None).words["photon"] > 1
    assert label_task(tiny_recipe, data.labels, data.examples("train"), "cpu", "float32", None).words == {}
