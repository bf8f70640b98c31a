"""What a batch holds and what the loss reads. Knows token ids and the order of rows; knows no Trainer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from subjectwise.engines.pytorch import output_logits, read_prefix, read_rows
from subjectwise.prompt import Prompt
from subjectwise.records import Example
from subjectwise.scoring import LabelTrie


@dataclass(frozen=True)
class Target:
    """What the loss reads of one row.

    Attributes:
        ids: the row, and of the answer all but its last target.
        targets: the tokens to predict at the last `len(targets)` places of `ids`, one after another.
    """

    ids: list[int]
    targets: list[int]


class TrainingRows(Dataset[Target]):
    """Encoded rows in two views, without (even keys) and with (odd keys) their options."""

    def __init__(self, examples: Sequence[Example], prompt: Prompt, trie: LabelTrie, loss: str) -> None:
        questions = [example.question for example in examples]
        self._views = [prompt.encode_questions(questions, with_options=shown) for shown in (False, True)]
        self._labels = [prompt.labels.index(example.label) for example in examples]
        self._prompt, self._trie, self._loss = prompt, trie, loss
        self.lengths = np.array([[len(row) for row in view] for view in self._views])  # [2, rows]

    def __len__(self) -> int:
        return 2 * len(self._labels)

    def __getitem__(self, key: int) -> Target:
        row, label = self._views[key % 2][key // 2], self._labels[key // 2]
        if self._loss == "label":
            path = self._trie.paths[label]
            return Target([*row, *path[:-1]], path)
        answer = [*self._prompt.label_ids[label], *self._prompt.end_ids]
        if self._loss == "answer":
            return Target([*row, *answer[:-1]], answer)
        whole = [*self._prompt.prefix_ids, *row, *answer]
        return Target(whole[:-1], whole[1:])


class LengthBatches:
    """Batches of rows of like length, in an order that the seed and the epoch alone decide.

    Rows are shuffled, sorted by length within stretches of 32 batches, and the batches shuffled. Each epoch draws
    anew which rows are shown with their options.
    """

    drop_last = False  # accelerate asks

    def __init__(self, lengths: Any, batch_size: int, shown_share: float, seed: int) -> None:
        self.lengths, self.batch_size, self.shown_share, self.seed, self.epoch = (
            lengths,
            batch_size,
            shown_share,
            seed,
            0,
        )

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-int(self.lengths.shape[1]) // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        generator = np.random.default_rng([self.seed, self.epoch])
        rows = self.lengths.shape[1]
        shown = generator.random(rows) < self.shown_share
        lengths = np.where(shown, self.lengths[1], self.lengths[0])
        order = generator.permutation(rows)
        batches: list[list[int]] = []
        # Only the last stretch may end in a short batch, so that every epoch has the same number of batches.
        for start in range(0, rows, 32 * self.batch_size):
            stretch = order[start : start + 32 * self.batch_size]
            stretch = stretch[np.argsort(-lengths[stretch], kind="stable")]
            batches += [
                [int(2 * row + shown[row]) for row in stretch[i : i + self.batch_size]]
                for i in range(0, len(stretch), self.batch_size)
            ]
        for place in generator.permutation(len(batches)):
            yield batches[place]


def batch_loss(model: Any, prefix_ids: Sequence[int], share: bool, batch: Sequence[Target], per_row: bool) -> Tensor:
    """Cross-entropy over the full vocabulary at the targets: a mean over rows (`per_row`) or over tokens."""
    prefix = read_prefix(model, prefix_ids, share)
    hidden = read_rows(model, prefix, [item.ids for item in batch])  # [rows, longest, hidden]
    rows = [i for i, item in enumerate(batch) for _ in item.targets]
    places = [place for item in batch for place in range(len(item.ids) - len(item.targets), len(item.ids))]
    targets = torch.tensor([token for item in batch for token in item.targets], device=hidden.device)
    logits = output_logits(model, hidden[rows, places])  # [targets, vocabulary]
    total = torch.nn.functional.cross_entropy(logits, targets, reduction="sum")
    return total / (len(batch) if per_row else len(targets))
