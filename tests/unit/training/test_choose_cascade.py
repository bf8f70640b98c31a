"""What is chosen for a pair: drawn rows, a gate that also holds for text unlike the training rows, and results."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np

from subjectwise.models.fast_model import FastAnswers, FastConfig
from subjectwise.records import Example, Question
from subjectwise.statistics.cascade import NEVER
from subjectwise.statistics.kind_weights import kind_weights
from subjectwise.text.hashed_features import FeatureSpace
from subjectwise.training.choose_cascade import PairScores, choose_cascade, draw_balanced, join_pairs
from subjectwise.training.train_fast import deal_kinds
from subjectwise.types import FloatArray, IntArray

CONFIG = FastConfig(("law", "math", "physics"), FeatureSpace(8, 8))
ROWS = 600


def noisy(truth: IntArray, strength: float, generator: np.random.Generator) -> FloatArray:
    logits = strength * np.eye(3)[truth] + generator.normal(size=(len(truth), 3)) * np.sqrt(strength)
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))


def pair(fast_strength: float, slow_strength: float = 3.0, seed: int = 0) -> PairScores:
    """Rows of two kinds, the second with requests of no label, which the fast model takes for questions."""
    generator = np.random.default_rng(seed)
    truth = generator.integers(3, size=ROWS)
    slow, fast = noisy(truth, slow_strength, generator), noisy(truth, fast_strength, generator)
    truth[-20:] = -1
    fair = np.eye(3, dtype=np.bool_)[truth] & (truth >= 0)[:, None]
    kinds = ("exam",) * (ROWS // 2) + ("talk",) * (ROWS // 2)
    answers = FastAnswers(fast, np.zeros(ROWS), np.ones(ROWS), np.ones(ROWS))
    return PairScores(slow, answers, truth, fair, kinds, kind_weights(kinds))


def test_as_many_rows_of_each_kind_and_all_of_a_rare_one() -> None:
    kinds = ["a"] * 50 + ["b"] * 3 + ["c"] * 50
    rows = [Example(str(i), Question("q"), "law", kind=kind) for i, kind in enumerate(kinds)]
    drawn = draw_balanced(rows, 23, seed=0)
    assert drawn == sorted(set(drawn)) and Counter(kinds[i] for i in drawn) == {"a": 10, "b": 3, "c": 10}
    assert draw_balanced(rows, 1000, seed=0) == list(range(103))


def test_kinds_are_dealt_into_groups_of_about_as_many_rows() -> None:
    groups = deal_kinds(Counter({"a": 10, "b": 4, "c": 3, "d": 3, "e": 1}))
    assert groups == [{"a"}, {"b"}, {"c", "e"}, {"d"}]
    assert deal_kinds(Counter({"only": 5})) == [{"only"}]


def test_the_pair_is_as_accurate_as_promised() -> None:
    chosen = choose_cascade(CONFIG, pair(2.5), None, None)
    results = chosen.results["known"]
    assert isinstance(results, dict) and set(chosen.promises) == {"0", "1", NEVER} and "novel" not in chosen.results
    slow, ways = results["model"]["accuracy"], results["cascade"]
    assert ways["0"]["accuracy"] >= slow and ways["1"]["accuracy"] >= slow - 0.011
    assert 0.2 < ways["0"]["fast"] <= ways["1"]["fast"] and ways[NEVER]["fast"] == 0
    assert chosen.pooling.weight > 0.3 and ways[NEVER]["accuracy"] > slow + 0.01
    assert set(chosen.promises["0"].thresholds) >= {"0.95"} and ways["0"]["kinds"]["talk"]["rows"] == ROWS // 2


def test_text_unlike_the_training_rows_narrows_the_gate() -> None:
    """A fast model that is worse on kinds that it has not seen, and as confident."""
    known = pair(2.5)
    novel = pair(2.5, seed=1)
    wrong = np.roll(novel.fast.probabilities, 1, axis=1)
    misled = np.arange(ROWS)[:, None] % 3 == 0
    fast = replace(novel.fast, probabilities=np.where(misled, wrong, novel.fast.probabilities))
    alone = choose_cascade(CONFIG, known, None, None)
    both = choose_cascade(CONFIG, known, replace(novel, fast=fast), None)
    assert both.promises["0"].share < alone.promises["0"].share
    assert both.pooling.weight < alone.pooling.weight and "novel" in both.results


def test_what_may_not_be_answered_alone_is_not() -> None:
    scores = pair(2.5)
    unknown = replace(scores, fast=replace(scores.fast, known=np.zeros(ROWS)))
    chosen = choose_cascade(replace(CONFIG, min_known=0.5), unknown, None, None)
    assert chosen.promises["0"].min_confidence is None and chosen.promises["0"].share == 0
    outside = replace(scores, fast=replace(scores.fast, in_scope=np.full(ROWS, 0.1)))
    assert choose_cascade(CONFIG, outside, None, 0.2).promises["1"].share == 0


def test_joined_scores_are_those_of_their_parts() -> None:
    first, second = pair(2.0), pair(1.0, seed=3)
    joined = join_pairs([first, second])
    assert len(joined.kinds) == 2 * ROWS and joined.weights.sum() == first.weights.sum() + second.weights.sum()
    np.testing.assert_array_equal(joined.fast.known, np.ones(2 * ROWS))
    np.testing.assert_array_equal(joined.fast.probabilities[ROWS:], second.fast.probabilities)
