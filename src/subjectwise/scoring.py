"""From token ids to the log-probability of each label. Knows no strings: a prompt turns questions into ids.

A label's score is the sum of its tokens' log-probabilities up to the token that makes it unique among the labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from subjectwise.engines.pytorch import PADDING, PyTorchEngine
from subjectwise.engines.reading import Tail
from subjectwise.errors import BaseModelError, DataError
from subjectwise.labels import LabelSet
from subjectwise.prompt import Prompt
from subjectwise.records import FloatArray, Question


@dataclass(frozen=True)
class Scores:
    """Scores of many questions.

    Attributes:
        log_probs: normalised over the labels, [questions, labels].
        label_mass: the probability of any label at all before normalising, [questions], 0 to 1.
    """

    log_probs: FloatArray
    label_mass: FloatArray


Progress = Callable[[int], None] | None


class Scorer(Protocol):
    """A loaded model of one kind or another, from questions to scores; what answering, training and calibration ask."""

    @property
    def labels(self) -> LabelSet: ...

    def score(
        self, questions: Sequence[Question], with_options: bool | None = None, on_progress: Progress = None
    ) -> Scores: ...

    def count_tokens(self, questions: Sequence[Question], with_options: bool | None = None) -> list[int]:
        """How many tokens of each question are read, beside those that all share."""
        ...


class Engine(Protocol):
    """What scoring asks of an engine."""

    @property
    def tokens_per_batch(self) -> int: ...

    def most_padding(self, longest: int, tail: Tail) -> int:
        """Tokens of padding that cost about as much as another batch, where rows have up to `longest` tokens."""
        ...

    def token_log_probs(
        self, rows: Sequence[Sequence[int]], tail: Tail, wanted: Sequence[Sequence[int]]
    ) -> list[torch.Tensor]: ...


PYTORCH, OPENVINO = ENGINES = ("pytorch", "openvino")


def make_engine(name: str, model: Any, prefix_ids: Sequence[int], precision: torch.dtype | None = None) -> Engine:
    """The engine of that name around a loaded model.

    Args:
        precision: what OpenVINO computes in, where it is not that of the model.

    Raises:
        BaseModelError: no such engine, or it is not installed or cannot read such a model.
    """
    if name == OPENVINO:
        from subjectwise.engines.openvino import OpenVINOEngine

        return OpenVINOEngine(model, prefix_ids, precision or model.dtype)
    if name != PYTORCH:
        raise BaseModelError(f"There is no engine {name!r}; choose one of {', '.join(ENGINES)}.")
    return PyTorchEngine(model, prefix_ids)


def loading_dtype(engine: str, dtype: str) -> str:
    """The precision to load a base in for an engine that computes in `dtype`: OpenVINO rounds for itself."""
    return "float32" if engine == OPENVINO else dtype


class LabelTrie:
    """The labels as a tree of tokens, cut where each becomes unique.

    Attributes:
        paths: the ids that are scored for each label; training's `label` loss has the same targets.
        tail: the inner nodes below the root, as the engine reads them after a row.
        wanted: the ids that follow the root and each inner node.

    Raises:
        DataError: two labels have the same tokens, or one begins another and there is no end token to tell them apart.
    """

    def __init__(self, label_ids: Sequence[Sequence[int]], end_ids: Sequence[int]) -> None:
        whole = [tuple(ids) for ids in label_ids]
        ended = [
            (*ids, *end_ids) if any(other[: len(ids)] == ids for j, other in enumerate(whole) if j != i) else ids
            for i, ids in enumerate(whole)
        ]
        counts: dict[tuple[int, ...], int] = {}
        for ids in ended:
            for size in range(1, len(ids) + 1):
                counts[ids[:size]] = counts.get(ids[:size], 0) + 1
        self.paths: list[list[int]] = []
        for i, ids in enumerate(ended):
            size = next((size for size in range(1, len(ids) + 1) if counts[ids[:size]] == 1), 0)
            if not size:
                raise DataError(f"Label {i + 1} cannot be told from another by its tokens; rename one of them.")
            self.paths.append(list(ids[:size]))

        places: dict[tuple[int, ...], int] = {(): 0}
        self.wanted: list[list[int]] = [[]]
        self.tail = Tail([], [])
        # [label][token]: which node and which of its wanted tokens
        self._steps: list[list[tuple[int, int]]] = []
        for path in self.paths:
            steps = []
            for depth, token in enumerate(path):
                node = tuple(path[:depth])
                if node not in places:
                    places[node] = len(self.wanted)
                    self.wanted.append([])
                    self.tail.ids.append(node[-1])
                    self.tail.parents.append(places[node[:-1]] - 1)
                following = self.wanted[places[node]]
                if token not in following:
                    following.append(token)
                steps.append((places[node], following.index(token)))
            self._steps.append(steps)

    def choices(self, label: int) -> list[list[int]]:
        """Of each token of the label's path, the tokens that any label has at its place."""
        return [self.wanted[node] for node, _ in self._steps[label]]

    def gather(self, log_probs: Sequence[torch.Tensor]) -> FloatArray:
        """Sums the log-probabilities along each label's path, [rows, labels]."""
        columns = [sum(log_probs[node][:, place].double() for node, place in steps) for steps in self._steps]
        return np.stack([np.asarray(column) for column in columns], axis=1)


def score(
    engine: Engine,
    rows: Sequence[Sequence[int]],
    trie: LabelTrie,
    on_progress: Progress = None,
) -> Scores:
    """Scores every row; `on_progress` is told how many rows each batch had.

    Rows are read in order of length, so that a batch holds little padding, and answered in the order given.
    """
    summed = np.empty((len(rows), len(trie.paths)))
    extra = len(trie.tail.ids)

    def most_padding(widest: int) -> int:
        return engine.most_padding(widest - extra, trie.tail)

    for batch in length_batches([len(row) for row in rows], engine.tokens_per_batch, extra, most_padding):
        log_probs = engine.token_log_probs([rows[i] for i in batch], trie.tail, trie.wanted)
        summed[batch] = trie.gather(log_probs)
        if on_progress:
            on_progress(len(batch))
    return normalise(summed)


class LabelScorer:
    """Scores each label as the continuation of the prompt."""

    def __init__(self, model: Any, prompt: Prompt, engine: str = PYTORCH, precision: torch.dtype | None = None) -> None:
        self.prompt = prompt
        self.trie = LabelTrie(prompt.label_ids, prompt.end_ids)
        self.engine = make_engine(engine, model, prompt.prefix_ids, precision)

    @property
    def labels(self) -> LabelSet:
        return self.prompt.labels

    def score(
        self, questions: Sequence[Question], with_options: bool | None = None, on_progress: Progress = None
    ) -> Scores:
        return score(self.engine, self.prompt.encode_questions(questions, with_options), self.trie, on_progress)

    def count_tokens(self, questions: Sequence[Question], with_options: bool | None = None) -> list[int]:
        return [len(row) for row in self.prompt.encode_questions(questions, with_options)]


def score_plain(model: Any, prompt_ids: Sequence[int], trie: LabelTrie) -> Scores:
    """The reference path: one question, a pass for each beginning that labels share, no cache, no batch, no padding."""
    summed = []
    with torch.inference_mode():
        starts = {tuple(path[:-1]) for path in trie.paths}
        after: dict[tuple[int, ...], torch.Tensor] = {}  # [start + 1, vocabulary]
        for start in starts:
            tokens = torch.tensor([[*prompt_ids, *start]], device=model.device)  # [1, prompt + start]
            after[start] = model(input_ids=tokens).logits[0, len(prompt_ids) - 1 :].float().log_softmax(-1)
        for path in trie.paths:
            log_probs = after[tuple(path[:-1])]
            summed.append(sum(float(log_probs[place, token]) for place, token in enumerate(path)))
    return normalise(np.array([summed]))


def normalise(summed: FloatArray) -> Scores:
    """Log-probabilities over the labels alone, and the mass that all labels have together."""
    total = np.logaddexp.reduce(summed, axis=1)
    return Scores(summed - total[:, None], np.minimum(np.exp(total), 1.0))


def length_batches(
    lengths: Sequence[int], budget: int, extra: int = 0, most_padding: Callable[[int], int] = lambda widest: PADDING
) -> Iterator[list[int]]:
    """Positions in batches of at most `budget` tokens, padding and `extra` tokens a row counted; one row at least.

    The longest come first, so that a batch that does not fit fails right away rather than near the end. Rows of unlike
    lengths stand in batches of their own where padding them would take more tokens than `most_padding` says
    for the longest of them.
    """
    batch: list[int] = []
    widest = padding = 0
    for position in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        length = lengths[position] + extra
        padding += max(widest - length, 0)
        if batch and ((len(batch) + 1) * widest > budget or padding > most_padding(widest)):
            yield batch
            batch = []
        if not batch:
            widest, padding = length, 0
        batch.append(position)
    if batch:
        yield batch
