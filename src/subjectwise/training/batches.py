"""What a batch holds and what the loss reads. Knows token ids and the order of rows; knows no Trainer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from subjectwise.engines.output_head import OutputHead
from subjectwise.engines.reading import read_prefix, read_rows
from subjectwise.heads import HeadScorer
from subjectwise.labels import LabelSet
from subjectwise.perturb import augmented
from subjectwise.prompt import Prompt
from subjectwise.records import Example, Question
from subjectwise.scoring import LabelTrie


@dataclass(frozen=True)
class Target:
    """What the loss reads of one row.

    Attributes:
        ids: the row, and of the answer all but its last target.
        targets: the tokens to predict at the last `len(targets)` places of `ids`, one after another.
        choices: of each target, the tokens that the labels go on with at its place; where no label branches off, the
            target alone. What smoothing spreads over.
    """

    ids: list[int]
    targets: list[int]
    choices: Sequence[list[int]]


@dataclass(frozen=True)
class HeadTarget:
    """What a classification head's loss reads of one row: its ids and the place of its label."""

    ids: list[int]
    label: int


class Shown(NamedTuple):
    """A row as an epoch shows it.

    Attributes:
        view: without options 0, with all of them 1, with a random half of them from 2 on.
        noise: what draws the noise of its text, the same for the same numbers; none where there is none.
    """

    row: int
    view: int = 0
    noise: tuple[int, ...] = ()


_Target = TypeVar("_Target")


class _Encoder(Protocol):
    def encode_questions(self, questions: Sequence[Question], with_options: bool | None = None) -> list[list[int]]: ...


class Rows(Dataset[_Target], Generic[_Target]):
    """Encoded rows in several views: without options, with all of them, and with random halves of them, shuffled.

    Args:
        augment: what is done to a row's text where it is shown with noise, as `training.augment` names it.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        encoder: _Encoder,
        labels: LabelSet,
        halves: int = 0,
        seed: int = 0,
        augment: str = "none",
    ) -> None:
        questions = [example.question for example in examples]
        generator = np.random.default_rng(seed)
        halved = [[_half_of_options(question, generator) for question in questions] for _ in range(halves)]
        self._questions = [questions, questions, *halved]
        self._rows = [
            encoder.encode_questions(view, with_options=place > 0) for place, view in enumerate(self._questions)
        ]
        self._encoder, self._augment = encoder, augment
        self._labels = [labels.index(example.label) for example in examples]
        self.lengths = np.array([[len(row) for row in view] for view in self._rows])  # [views, rows], without noise

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, key: Shown) -> _Target:
        return self._target(self._noisy(key) if key.noise else self._rows[key.view][key.row], self._labels[key.row])

    def _noisy(self, key: Shown) -> list[int]:
        question = self._questions[key.view][key.row]
        text = augmented(question.text, self._augment, np.random.default_rng(key.noise))
        return self._encoder.encode_questions([replace(question, text=text)], with_options=key.view > 0)[0]

    def _target(self, row: list[int], label: int) -> _Target:
        raise NotImplementedError


class HeadRows(Rows[HeadTarget]):
    """Rows for a classification head."""

    def _target(self, row: list[int], label: int) -> HeadTarget:
        return HeadTarget(row, label)


class TrainingRows(Rows[Target]):
    """Rows for labels that are scored."""

    def __init__(self, examples: Sequence[Example], prompt: Prompt, trie: LabelTrie, loss: str, **options: Any) -> None:
        super().__init__(examples, prompt, prompt.labels, **options)
        self._prompt, self._trie, self._loss = prompt, trie, loss

    def _target(self, row: list[int], label: int) -> Target:
        if self._loss == "label":
            path = self._trie.paths[label]
            return Target([*row, *path[:-1]], path, self._trie.choices(label))
        answer = [*self._prompt.label_ids[label], *self._prompt.end_ids]
        branches = self._trie.choices(label)
        choices = [*branches, *([token] for token in answer[len(branches) :])]
        if self._loss == "answer":
            return Target([*row, *answer[:-1]], answer, choices)
        whole = [*self._prompt.prefix_ids, *row, *answer]
        text = whole[1 : -len(answer)]
        return Target(whole[:-1], [*text, *answer], [*([token] for token in text), *choices])


def _half_of_options(question: Question, generator: np.random.Generator) -> Question:
    drawn = generator.permutation(len(question.options))[: (len(question.options) + 1) // 2]
    return replace(question, options=tuple(question.options[i] for i in drawn))


class LengthBatches:
    """Batches of rows of like length, in an order that the seed and the epoch alone decide.

    Rows are shuffled, sorted by length within stretches of 32 batches, and the batches shuffled. Each epoch draws
    anew which rows are shown with their options, and in which of those views, and which are shown with noise.
    """

    drop_last = False  # accelerate asks

    def __init__(self, lengths: Any, batch_size: int, shown_share: float, seed: int, noisy_share: float = 0.0) -> None:
        self.lengths, self.batch_size, self.seed, self.epoch = lengths, batch_size, seed, 0
        self.shown_share, self.noisy_share = shown_share, noisy_share

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-int(self.lengths.shape[1]) // self.batch_size)

    def __iter__(self) -> Iterator[list[Shown]]:
        generator = np.random.default_rng([self.seed, self.epoch])
        views, rows = self.lengths.shape
        shown = generator.random(rows) < self.shown_share
        view = np.where(shown, generator.integers(1, views, size=rows), 0)
        lengths = self.lengths[view, np.arange(rows)]
        order = generator.permutation(rows)
        # Drawn only where it is asked for, so that a run without noise has the batches that it always had.
        noisy = generator.random(rows) < self.noisy_share if self.noisy_share else np.zeros(rows, dtype=bool)
        batches: list[list[Shown]] = []
        # Only the last stretch may end in a short batch, so that every epoch has the same number of batches.
        for start in range(0, rows, 32 * self.batch_size):
            stretch = order[start : start + 32 * self.batch_size]
            stretch = stretch[np.argsort(-lengths[stretch], kind="stable")]
            batches += [
                [
                    Shown(int(row), int(view[row]), (self.seed, self.epoch, int(row)) if noisy[row] else ())
                    for row in stretch[i : i + self.batch_size]
                ]
                for i in range(0, len(stretch), self.batch_size)
            ]
        for place in generator.permutation(len(batches)):
            yield batches[place]


def head_loss(scorer: HeadScorer, batch: Sequence[HeadTarget], smoothing: float = 0.0) -> Tensor:
    """Cross-entropy over the labels, a mean over rows; `smoothing` as in `batch_loss`."""
    logits = scorer.logits([item.ids for item in batch])  # [rows, labels]
    labels = torch.tensor([item.label for item in batch], device=logits.device)
    return torch.nn.functional.cross_entropy(logits, labels, label_smoothing=smoothing)


def batch_loss(
    model: Any,
    prefix_ids: Sequence[int],
    share: bool,
    batch: Sequence[Target],
    per_row: bool,
    smoothing: float = 0.0,
) -> Tensor:
    """Cross-entropy over the full vocabulary at the targets: a mean over rows (`per_row`) or over tokens.

    `smoothing` is the share of a target's probability that is spread evenly over its choices (label smoothing,
    arXiv 1512.00567, over the labels and not over the vocabulary).
    """
    prefix = read_prefix(model, prefix_ids, share)
    hidden = read_rows(model, prefix, [item.ids for item in batch])  # [rows, longest, hidden]
    rows = [i for i, item in enumerate(batch) for _ in item.targets]
    places = [place for item in batch for place in range(len(item.ids) - len(item.targets), len(item.ids))]
    targets = torch.tensor([token for item in batch for token in item.targets], device=hidden.device)
    logits = OutputHead(model).logits(hidden[rows, places])  # [targets, vocabulary]
    total = torch.nn.functional.cross_entropy(logits, targets, reduction="sum")
    if smoothing:
        log_probs = logits.log_softmax(dim=-1)
        choices = [tokens for item in batch for tokens in item.choices]
        spread = -torch.stack([row[tokens].mean() for row, tokens in zip(log_probs, choices, strict=True)]).sum()
        total = (1 - smoothing) * total + smoothing * spread
    return total / (len(batch) if per_row else len(targets))
