"""Runs a command of the package with a known fault of a classification head, or with the reference's loss.

    python benchmarks/head_faults.py FAULT train head --data SPLIT --output MODEL …

What each fault costs is measured by comparison.py; the package itself has none of them. A model that was trained with
`row_end` is to be evaluated with it as well. FAULT is one of

    row_end          a decoder's head reads the state at the end of the padded row, and not that of the last token
    no_pad_token     the base has no pad token, so that transformers reads one row at a time
    untrained_head   the head stays at its first, random values
    whole_text       the loss is that of a causal language model over the whole text: prompt, question and answer
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from torch import Tensor

from subjectwise.engines.label_trie import LabelTrie
from subjectwise.labels import LabelSet
from subjectwise.models import classification_head
from subjectwise.models.base_model import Base
from subjectwise.models.classification_head import HeadScorer
from subjectwise.recipe import PromptSettings, Recipe, TrainingSettings
from subjectwise.records import Example
from subjectwise.text.prompt import Prompt
from subjectwise.training import tasks, train
from subjectwise.training.losses import token_loss
from subjectwise.training.tasks import Task, head_task, label_task
from subjectwise.training.training_rows import LabelRows, TokenTargets
from subjectwise.types import LanguageModel


class RowEndScorer(HeadScorer):
    """Pools the end of the padded row. Rows have a constant width, or an answer would vary with its batch."""

    def padded_width(self, longest: int) -> int:
        return self.encoder.settings.max_tokens

    def pooled_positions(self, lengths: Tensor, width: int) -> Tensor:
        return lengths.new_full(lengths.shape, width - 1)


class NoPadTokenScorer(HeadScorer):
    """Takes the pad token away, and reads one row at a time."""

    def __init__(self, base: Base, labels: LabelSet, prompt: PromptSettings) -> None:
        base.model.config.get_text_config().pad_token_id = None
        base.tokenizer.pad_token = None
        super().__init__(base, labels, prompt)

    @property
    def tokens_per_batch(self) -> int:
        return 1


class WholeTextRows(LabelRows):
    """The whole text as targets: every token of the prompt and the question, the answer and its end."""

    def __init__(
        self, examples: Sequence[Example], prompt: Prompt, trie: LabelTrie, settings: TrainingSettings
    ) -> None:
        super().__init__(examples, prompt, trie, replace(settings, loss="answer"))
        self._answers, self._prefix_ids = [[*ids, *prompt.end_ids] for ids in prompt.label_ids], prompt.prefix_ids

    def _target(self, row: list[int], label: int, also: Sequence[int]) -> TokenTargets:
        text = [*self._prefix_ids, *row, *self._answers[label]]
        targets = text[1:]
        return TokenTargets(text[:-1], targets, [[token] for token in targets], [{token: 1.0} for token in targets])


def untrained_head_task(recipe: Recipe, *options: Any) -> Task:
    """Return a head whose own weights have no gradients."""
    task = head_task(recipe, *options)
    for name, weight in task.base.model.named_parameters():
        if ".score." in f".{name}":
            weight.requires_grad_(False)
    return task


def whole_text_task(recipe: Recipe, labels: LabelSet, examples: Sequence[Example], *options: Any) -> Task:
    """Return an adapter that is trained on the whole text."""
    task = label_task(recipe, labels, examples, *options)
    prompt = Prompt(task.base.tokenizer, labels, recipe.prompt, words=task.words)
    trie = LabelTrie(prompt.label_ids, prompt.end_ids)

    def loss(model: LanguageModel, batch: Sequence[TokenTargets]) -> Tensor:
        return token_loss(model, [], False, batch, per_row=False)

    return replace(task, rows=WholeTextRows(examples, prompt, trie, recipe.training), loss=loss)


# What each fault puts in the place of what.
FAULTS: dict[str, list[tuple[Any, str, Any]]] = {
    "row_end": [(module, "HeadScorer", RowEndScorer) for module in (tasks, classification_head)],
    "no_pad_token": [(module, "HeadScorer", NoPadTokenScorer) for module in (tasks, classification_head)],
    "untrained_head": [(train, "head_task", untrained_head_task)],
    "whole_text": [(train, "label_task", whole_text_task)],
}


@contextmanager
def injected(fault: str) -> Iterator[None]:
    """Within it the package has the fault."""
    patches = [patch.object(module, name, faulty) for module, name, faulty in FAULTS[fault]]
    for each in patches:
        each.start()
    try:
        yield
    finally:
        for each in patches:
            each.stop()


def main() -> None:
    from subjectwise.cli.app import main as subjectwise

    fault, *arguments = sys.argv[1:] or [""]
    if fault not in FAULTS:
        sys.exit(f"Unknown fault {fault!r}; choose one of {', '.join(FAULTS)}.")
    with injected(fault):
        subjectwise(arguments)


if __name__ == "__main__":
    main()
