"""Choose how a fast model and a language model answer together, on validation rows that both have scored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from subjectwise.models.fast_model import FastAnswers, FastConfig
from subjectwise.records import Example
from subjectwise.statistics.calibration import fit_temperature
from subjectwise.statistics.cascade import (
    LOSSES,
    NEVER,
    Pooling,
    Promise,
    find_min_confidence,
    fit_pooling,
    log_probs,
)
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


def join_pairs(parts: Sequence[PairScores]) -> PairScores:
    """Return the scores of several sets of rows as one; weights stay as they are."""
    fast = FastAnswers(
        *(np.concatenate([getattr(part.fast, item.name) for part in parts]) for item in fields(FastAnswers))
    )
    return PairScores(
        np.concatenate([part.slow for part in parts]),
        fast,
        np.concatenate([part.truth for part in parts]),
        np.concatenate([part.fair for part in parts]),
        tuple(kind for part in parts for kind in part.kinds),
        np.concatenate([part.weights for part in parts]),
    )


def choose_cascade(
    config: FastConfig, known: PairScores, novel: PairScores | None, min_in_scope: float | None
) -> FastConfig:
    """Return `config` with pooling, promises and results that fit the rows.

    Confidence means least where a text is unlike the training rows. What is chosen therefore holds for questions of
    which half are of kinds that the fast model was trained on, and half are not; probabilities are calibrated on the
    former.

    Args:
        config: of the fast model, calibrated.
        known: scores of rows by both models.
        novel: the same rows, each scored by a fast model that was trained without rows of its kind; None where the
            rows have one kind alone.
        min_in_scope: of the language model; below it no question is answered by the fast model alone.
    """
    # 1) The weight on all, the temperature on known rows.
    every = known if novel is None else join_pairs([known, novel])
    pooling = _fit_pooling(every)
    pooling = replace(pooling, temperature=_pooled_temperature(known, pooling)) if pooling.weight else pooling
    # 2) When the fast model answers alone.
    pooled = pooling.combine(every.slow, every.fast.probabilities)
    # A request of no label is answered wrongly by the fast model, whatever it says, and by the language model not.
    unlabelled = every.truth < 0
    slow_right, pooled_right = every.right(every.slow) | unlabelled, every.right(pooled) | unlabelled
    fast_right = every.right(every.fast.probabilities)
    confidence = np.where(config.may_answer(every.fast, min_in_scope), every.fast.confidence, -1.0)
    least = {
        loss: find_min_confidence(confidence, fast_right, slow_right, pooled_right, points / 100, every.weights)
        for loss, points in LOSSES.items()
    }
    chosen = replace(config, pooling=pooling)
    # 3) What is then true.
    promises = {
        loss: _promise(chosen, minimum, known, min_in_scope) for loss, minimum in {**least, NEVER: None}.items()
    }
    chosen = replace(chosen, promises=promises)
    results = {"known": measure_ways(chosen, known, min_in_scope)}
    if novel is not None:
        results["novel"] = measure_ways(chosen, novel, min_in_scope)
    return replace(chosen, results={**config.results, **results})


def _labelled(scores: PairScores) -> IntArray:
    return np.flatnonzero(scores.truth >= 0)


def _fit_pooling(scores: PairScores) -> Pooling:
    rows = _labelled(scores)
    return fit_pooling(scores.slow[rows], scores.fast.probabilities[rows], scores.truth[rows], scores.weights[rows])


def _pooled_temperature(scores: PairScores, pooling: Pooling) -> float:
    rows = _labelled(scores)
    logits = log_probs(scores.slow[rows]) + pooling.weight * log_probs(scores.fast.probabilities[rows])
    return fit_temperature(logits, scores.truth[rows], scores.weights[rows])


def _promise(config: FastConfig, least: float | None, scores: PairScores, min_in_scope: float | None) -> Promise:
    rows = _labelled(scores)
    both, alone = answer_pair(config, least, scores, min_in_scope)
    thresholds = find_thresholds(both[rows].max(axis=1), scores.right(both)[rows], weights=scores.weights[rows])
    return Promise(least, float(np.average(alone[rows], weights=scores.weights[rows])), thresholds)


def answer_pair(
    config: FastConfig, least: float | None, scores: PairScores, min_in_scope: float | None
) -> tuple[FloatArray, BoolArray]:
    """Return the probabilities of the pair, [rows, labels], and which rows the fast model answers alone, [rows].

    Args:
        config: with its pooling.
        least: the confidence that is enough; None where none is.
        scores: of both models.
        min_in_scope: of the language model.
    """
    fast = scores.fast
    alone = config.answers_alone(fast, least, min_in_scope)
    pooled = config.pooling.combine(scores.slow, fast.probabilities)
    return np.where(alone[:, None], fast.probabilities, pooled), alone


def measure_ways(config: FastConfig, scores: PairScores, min_in_scope: float | None) -> JsonObject:
    """Return what each way to answer measures: the language model, the fast model, and the pair by each promise."""
    pairs = {
        loss: answer_pair(config, promise.min_confidence, scores, min_in_scope)
        for loss, promise in config.promises.items()
    }
    return {
        "model": _measure(scores, scores.slow, None),
        "fast": _measure(scores, scores.fast.probabilities, None),
        "cascade": {loss: _measure(scores, *pair) for loss, pair in pairs.items()},
    }


def _measure(scores: PairScores, probabilities: FloatArray, alone: BoolArray | None) -> JsonObject:
    """Return means over the kinds, and accuracy and share of answers alone of each kind."""
    right, labelled = scores.right(probabilities), scores.truth >= 0
    rows, weights = _labelled(scores), scores.weights[labelled]
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
