"""Recipes for tiny bases, models with an adapter whose gradients are not zero, and runs that are interrupted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import TrainerCallback

from helpers.tiny_models import TINY_SETTINGS
from subjectwise.engines.label_trie import LabelTrie
from subjectwise.engines.pytorch.attention import register
from subjectwise.labels import LabelSet
from subjectwise.models.base_model import load_base
from subjectwise.models.devices import Compute
from subjectwise.recipe import Recipe, load_recipe
from subjectwise.records import Example
from subjectwise.text.prompt import Prompt
from subjectwise.training import train as train_module
from subjectwise.training.tasks import with_adapter
from subjectwise.training.training_rows import LabelRows, RowView, TokenTargets
from subjectwise.types import LanguageModel

CPU = Compute("cpu", "float32")


def head_recipe(base: Path, *settings: str) -> Recipe:
    """The recipe `head` for a tiny base."""
    return replace(load_recipe("head", ["prompt.max_tokens=48", *TINY_SETTINGS, *settings]), base=str(base))


def adapted(
    base_folder: Path, recipe: Recipe, labels: LabelSet, dtype: str = "float32"
) -> tuple[LanguageModel, Prompt, LabelTrie]:
    """A base with an adapter that changes its answers, its prompt and its trie."""
    base = load_base(str(base_folder), device="cpu", dtype=dtype, attention=register())
    prompt = Prompt(base.tokenizer, labels, recipe.prompt)
    model = with_adapter(base, recipe)
    randomise_adapter(model)
    return model, prompt, LabelTrie(prompt.label_ids, prompt.end_ids)


def randomise_adapter(model: LanguageModel) -> None:
    """Draw B of each adapter, which is zero at first and would leave half of the gradients zero."""
    torch.manual_seed(3)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.02)


def label_batch(
    examples: Sequence[Example], prompt: Prompt, trie: LabelTrie, *settings: str, views: Sequence[RowView] = ()
) -> list[TokenTargets]:
    """The rows as the loss reads them; the examples without options unless `views` are given."""
    rows = LabelRows(examples, prompt, trie, load_recipe("small", settings).training)
    return [rows[view] for view in views or map(RowView, range(len(examples)))]


def gradients(model: LanguageModel) -> dict[str, torch.Tensor]:
    """The gradients of all that is trained; they are zeroed afterwards."""
    taken = {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.requires_grad}
    model.zero_grad()
    return taken


class InterruptedRunError(Exception):
    """Ends a run at a step, as a killed process would."""


class StopAt(TrainerCallback):  # type: ignore[misc]
    def __init__(self, step: int) -> None:
        self._step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self._step:
            raise InterruptedRunError


@contextmanager
def interrupted_at(step: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Within it every run ends with an error after that step."""
    make_trainer = train_module.make_trainer

    def stopping(report_to: Any, **options: Any) -> Any:
        return make_trainer(report_to, **(options | {"callbacks": [*options["callbacks"], StopAt(step)]}))

    with monkeypatch.context() as patched:
        patched.setattr(train_module, "make_trainer", stopping)
        with pytest.raises(InterruptedRunError):
            yield
