"""Choose how a fast model and a language model answer together, on validation rows that both have scored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from subjectwise.models.fast_model import FastAnswers, FastConfig
from subjectwise.records import Example
from subjectwise.statistics.cascade import LOSSES, NEVER, Promise, find_min_confidence, fit_pooling
from subjectwise.statistics.metrics import MEASURES
from subjectwise.statistics.thresholds import find_thresholds
from subjectwise.types import BoolArray, FloatArray, IntArray, JsonObject


@dataclass(frozen=True)
class PairScores:
    """What both models say of rows whose labels are known.

    Attributes:
        slow: calibrated probabilities of the language model, [rows, labels].
        fast: the answers of the fast model.
        truth: the index of each row's label, [rows]; -1 for a request of no label.
        fair: whether each label is the row's own or one as fair, [rows, labels].
        kinds: of the rows, [rows].
        weights: by which every kind counts the same, [rows], of mean 1.
    """

    slow: FloatArray
    fast: FastAnswers
    truth: IntArray
    fair: BoolArray
    kinds: tuple[str, ...]
    weights: FloatArray

    def right(self, probabilities: FloatArray) -> BoolArray:
        """Return whether the most probable label is the row's own or one as fair, [rows]."""
        return np.asarray(self.fair[np.arange(len(self.truth)), probabilities.argmax(axis=1)])


def draw_balanced(rows: Sequence[Example], count: int, seed: int) -> list[int]:
    """Return the indices of `count` rows, ascending: as many of each kind, and of a rarer kind all."""
    generator = np.random.default_rng(seed)
    of_kind: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        of_kind.setdefault(row.kind, []).append(index)
    drawn: list[int] = []
    for number, indices in enumerate(sorted(of_kind.values(), key=len)):
        share = (count - len(drawn)) // (len(of_kind) - number)
        drawn += generator.permutation(indices)[:share].tolist()
    return sorted(drawn)


def choose_cascade(config: FastConfig, scores: PairScores, min_in_scope: float | None) -> FastConfig:
    """Return `config` with pooling, promises and results that fit the rows.

    Args:
        config: of the fast model, calibrated.
        scores: of both models.
        min_in_scope: of the language model; below it no question is answered by the fast model alone.
    """
    labelled = np.flatnonzero(scores.truth >= 0)
    fast = scores.fast.probabilities
    pooling = fit_pooling(scores.slow[labelled], fast[labelled], scores.truth[labelled], scores.weights[labelled])
    pooled = pooling.combine(scores.slow, fast)
    # A request of no label is answered wrongly by the fast model, whatever it says, and by the language model not.
    unlabelled = scores.truth < 0
    slow_right, pooled_right = scores.right(scores.slow) | unlabelled, scores.right(pooled) | unlabelled
    fast_right = scores.right(fast)
    may = config.may_answer(scores.fast, min_in_scope)
    confidence = np.where(may, scores.fast.confidence, -1.0)
    promises: dict[str, Promise] = {}
    measured: JsonObject = {}
    for name, least in {
        **{
            loss: find_min_confidence(confidence, fast_right, slow_right, pooled_right, points / 100, scores.weights)
            for loss, points in LOSSES.items()
        },
        NEVER: None,
    }.items():
        alone = np.zeros(len(may), dtype=np.bool_) if least is None else confidence >= least
        both = np.where(alone[:, None], fast, pooled)
        rows = labelled
        thresholds = find_thresholds(both[rows].max(axis=1), scores.right(both)[rows], weights=scores.weights[rows])
        promises[name] = Promise(least, float(np.average(alone, weights=scores.weights)), thresholds)
        measured[name] = _measure(scores, both, alone)
    results = {"model": _measure(scores, scores.slow, None), "fast": _measure(scores, fast, None), "cascade": measured}
    return replace(config, pooling=pooling, promises=promises, results={**config.results, **results})


def _measure(scores: PairScores, probabilities: FloatArray, alone: BoolArray | None) -> JsonObject:
    """Return means over the kinds, and accuracy and share of answers alone of each kind."""
    right, labelled = scores.right(probabilities), scores.truth >= 0
    rows, weights = np.flatnonzero(labelled), scores.weights[labelled]
    kinds = np.array(scores.kinds)
    counts = Counter(scores.kinds)
    per_kind: JsonObject = {}
    for kind in sorted(counts):
        inside = kinds == kind
        per_kind[kind] = {"rows": counts[kind]}
        if labelled[inside].any():
            per_kind[kind]["accuracy"] = float(right[inside & labelled].mean())
        if alone is not None:
            per_kind[kind]["fast"] = float(alone[inside].mean())
    return {
        "rows": len(rows),
        "accuracy": float(np.average(right[rows], weights=weights)),
        "ece": MEASURES["ece"](probabilities[rows], scores.truth[rows]),
        **({} if alone is None else {"fast": float(np.average(alone[rows], weights=weights))}),
        "kinds": per_kind,
    }
