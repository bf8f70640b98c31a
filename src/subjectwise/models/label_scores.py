"""Scores of labels: the log-probability of each label after a question, whatever kind of model computes it.

A label's score is the sum of its tokens' log-probabilities up to the token that makes it unique among the labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from subjectwise.engines.engine import Engine
from subjectwise.engines.label_trie import LabelTrie
from subjectwise.engines.token_budget import token_batches
from subjectwise.labels import LabelSet
from subjectwise.records import EncodedQuestion, Question
from subjectwise.text.prompt import Prompt
from subjectwise.types import FloatArray, Progress


@dataclass(frozen=True)
class LabelLogProbs:
    """Log-probabilities of the labels for many questions, before calibration.

    Attributes:
        log_probs: normalised over the labels, [questions, labels].
        label_mass: the probability of any label at all before normalising, [questions], 0 to 1.
        in_scope: the log-odds of any label against the answer for requests that belong to none, [questions]; None
            where the model does not have that answer.
    """

    log_probs: FloatArray
    label_mass: FloatArray
    in_scope: FloatArray | None = None


class Scorer(Protocol):
    """A loaded model of either kind; what answering, training and calibration ask of it."""

    @property
    def labels(self) -> LabelSet:
        """The labels, in the order of the columns."""
        ...

    @property
    def runs_on(self) -> tuple[str, str]:
        """The kind of device that computes and the precision, such as `cpu` and `float32`."""
        ...

    def encode(self, questions: Sequence[Question]) -> list[EncodedQuestion]:
        """Return the token ids of each question, without those that all questions share."""
        ...

    def score(self, encoded: Sequence[EncodedQuestion], on_progress: Progress | None = None) -> LabelLogProbs:
        """Return the log-probabilities of the labels, [questions, labels]."""
        ...


class LabelScorer:
    """Scores each label as the continuation of the prompt.

    Args:
        engine: with the prompt's prefix in its cache.
        prompt: of the model's tokenizer and labels.
    """

    def __init__(self, engine: Engine, prompt: Prompt) -> None:
        self.prompt = prompt
        self.trie = LabelTrie(prompt.answer_ids, prompt.end_ids)
        self.engine = engine

    @property
    def labels(self) -> LabelSet:
        """The labels, in the order of the columns."""
        return self.prompt.labels

    @property
    def runs_on(self) -> tuple[str, str]:
        """The kind of device that computes and the precision."""
        return self.engine.device, self.engine.precision

    def encode(self, questions: Sequence[Question]) -> list[EncodedQuestion]:
        """Return the row ids of each question."""
        return self.prompt.encode_questions(questions)

    def score(self, encoded: Sequence[EncodedQuestion], on_progress: Progress | None = None) -> LabelLogProbs:
        """Return the log-probabilities of the labels, [questions, labels]."""
        rows = [question.ids for question in encoded]
        return score_rows(self.engine, rows, self.trie, on_progress, len(self.labels))


def score_rows(
    engine: Engine,
    rows: Sequence[Sequence[int]],
    trie: LabelTrie,
    on_progress: Progress | None = None,
    labels: int | None = None,
) -> LabelLogProbs:
    """Score every row.

    Args:
        engine: around a loaded model.
        rows: token ids, read in batches of similar length and answered in the given order.
        trie: of the answers.
        on_progress: called after each batch with the number of its rows.
        labels: as for `normalise`.
    """
    summed = np.empty((len(rows), len(trie.paths)))
    extra = len(trie.tree.ids)

    def padding_limit(longest: int) -> int:
        return engine.padding_limit(longest - extra, trie.tree)

    for batch in token_batches([len(row) for row in rows], engine.tokens_per_batch, extra, padding_limit):
        log_probs = engine.token_log_probs([rows[i] for i in batch], trie.tree, trie.wanted)
        summed[batch] = trie.sum_paths(log_probs)
        if on_progress:
            on_progress(len(batch))
    return normalise(summed, labels)


def normalise(summed: FloatArray, labels: int | None = None) -> LabelLogProbs:
    """Normalise over the label set; return log-probabilities and the total probability of the labels.

    Args:
        summed: log-probability of each answer, [questions, answers].
        labels: how many of the answers, from the first, are labels, None for all; one more is that for requests that
            belong to no label.
    """
    labels = summed.shape[1] if labels is None else labels
    total = np.logaddexp.reduce(summed[:, :labels], axis=1)
    in_scope = total - summed[:, labels] if summed.shape[1] > labels else None
    return LabelLogProbs(summed[:, :labels] - total[:, None], np.minimum(np.exp(total), 1.0), in_scope)
