"""Rows to train on: encoded questions in several views, and what the loss reads of each. Knows no order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Generic, NamedTuple, Protocol, TypeVar

import numpy as np
from torch.utils.data import Dataset

from subjectwise.engines.label_trie import LabelTrie
from subjectwise.labels import LabelSet
from subjectwise.recipe import TrainingSettings
from subjectwise.records import Example, Question
from subjectwise.statistics.fair_labels import class_indices
from subjectwise.text.prompt import Prompt
from subjectwise.text.typing_noise import augmented


@dataclass(frozen=True)
class TokenTargets:
    """What the loss reads of one row for labels that are scored.

    Attributes:
        ids: the row, and the answer without its last target.
        targets: the tokens to predict at the last `len(targets)` positions of `ids`, one after another.
        choices: for each target, the tokens with which any label continues there; the target alone where no label
            branches off. Label smoothing spreads over them.
        shares: for each target, what share of it each token has: one where the row has a single fair label.
    """

    ids: list[int]
    targets: list[int]
    choices: Sequence[list[int]]
    shares: Sequence[Mapping[int, float]]


@dataclass(frozen=True)
class HeadTarget:
    """What a classification head's loss reads of one row: its ids and the index of its label."""

    ids: list[int]
    label: int


class RowView(NamedTuple):
    """A row as an epoch shows it.

    Attributes:
        row: its index.
        view: 0 without options, 1 with all of them, from 2 on with a random half of them.
        noise: seeds the noise of its text; empty for none.
    """

    row: int
    view: int = 0
    noise: tuple[int, ...] = ()


_Target = TypeVar("_Target")


class QuestionEncoder(Protocol):
    """From questions to row ids."""

    def encode(self, questions: Sequence[Question]) -> list[list[int]]:
        """Return the row ids of each question."""
        ...


class TrainingRows(Dataset[_Target], Generic[_Target]):
    """Encoded rows in several views: without options, with all of them, and with random halves of them, shuffled.

    Args:
        examples: the rows.
        encoder: of the model.
        labels: of the model.
        settings: how many views there are, the seed, and what noise does to a row's text.

    Attributes:
        lengths: tokens of each row in each view, without noise, [views, rows].
    """

    def __init__(
        self, examples: Sequence[Example], encoder: QuestionEncoder, labels: LabelSet, settings: TrainingSettings
    ) -> None:
        questions = [example.question for example in examples]
        generator = np.random.default_rng(settings.seed)
        halves = [
            [_half_of_options(question, generator) for question in questions] for _ in range(settings.option_halves)
        ]
        self._questions = [[question.without_options() for question in questions], questions, *halves]
        self._rows = [encoder.encode(view) for view in self._questions]
        self._encoder, self._augment = encoder, settings.augment
        # The answer for requests that belong to no label comes after the labels.
        self._labels: list[int] = class_indices(examples, labels, none=len(labels)).tolist()
        self._also = [[labels.index(other) for other in example.also if other in labels] for example in examples]
        self.lengths = np.array([[len(row) for row in view] for view in self._rows])

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, key: RowView) -> _Target:
        ids = self._noisy(key) if key.noise else self._rows[key.view][key.row]
        return self._target(ids, self._labels[key.row], self._also[key.row])

    def _noisy(self, key: RowView) -> list[int]:
        question = self._questions[key.view][key.row]
        text = augmented(question.text, self._augment, np.random.default_rng(key.noise))
        return self._encoder.encode([replace(question, text=text)])[0]

    def _target(self, row: list[int], label: int, also: Sequence[int]) -> _Target:
        raise NotImplementedError


class HeadRows(TrainingRows[HeadTarget]):
    """Rows for a classification head."""

    def _target(self, row: list[int], label: int, also: Sequence[int]) -> HeadTarget:
        return HeadTarget(row, label)


class LabelRows(TrainingRows[TokenTargets]):
    """Rows for labels that are scored, by the loss `label` or `answer`."""

    def __init__(
        self, examples: Sequence[Example], prompt: Prompt, trie: LabelTrie, settings: TrainingSettings
    ) -> None:
        super().__init__(examples, prompt, prompt.labels, settings)
        self._prompt, self._trie, self._loss = prompt, trie, settings.loss
        self._also_share = settings.also_share

    def _target(self, row: list[int], label: int, also: Sequence[int]) -> TokenTargets:
        branches, shares = self._trie.choices(label), self._shares(label, also if self._also_share else ())
        if self._loss == "label":
            path = self._trie.paths[label]
            return TokenTargets([*row, *path[:-1]], path, branches, shares)
        answer = [*self._prompt.answer_ids[label], *self._prompt.end_ids]
        rest = answer[len(branches) :]
        choices, shares = [*branches, *([token] for token in rest)], [*shares, *({token: 1.0} for token in rest)]
        return TokenTargets([*row, *answer[:-1]], answer, choices, shares)

    def _shares(self, label: int, also: Sequence[int]) -> list[dict[int, float]]:
        """Return the share of each token at each step of the label's path: of the fair labels that get that far."""
        path, paths = self._trie.paths[label], self._trie.paths
        shares = []
        for depth in range(len(path)):
            left = [
                paths[other] for other in also if paths[other][:depth] == path[:depth] and len(paths[other]) > depth
            ]
            share = self._also_share / len(left) if left else 0.0
            step = {path[depth]: 1 - share * len(left)}
            for other in left:
                step[other[depth]] = step.get(other[depth], 0.0) + share
            shares.append(step)
        return shares


def _half_of_options(question: Question, generator: np.random.Generator) -> Question:
    drawn = generator.permutation(len(question.options))[: (len(question.options) + 1) // 2]
    return replace(question, options=tuple(question.options[i] for i in drawn))
