"""Hashed features: the same counts as a plain loop over n-grams, in any batch."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from subjectwise.text.hashed_features import FeatureRows, FeatureSpace, count_features

# So many buckets that no two features of these tests share one.
SPACE = FeatureSpace(2**40, 2**40)

TEXTS = [
    "What is a cell, and what is a Cell?",
    "x",
    "Größe der Körper: ∇·E = ρ/ε₀",
    "  two   spaces\nand a line ",
    "…!?",
    "数学の問題",
]


def plain_counts(text: str) -> list[Counter[str]]:
    """Return the counts of words and pairs, and of character n-grams, by the letter."""
    words = re.findall(r"\w+", text.lower())
    grams = Counter(words) + Counter(f"{a} {b}" for a, b in pairwise(words))
    characters: Counter[str] = Counter()
    for token in text.lower().split():
        padded = f" {token} "
        for n in range(SPACE.shortest, SPACE.longest + 1):
            characters.update(padded[i : i + n] for i in range(len(padded) - n + 1))
    return [grams, characters]


def counts_of(features: FeatureRows, text: int) -> list[list[int]]:
    """Return the sorted counts of a text's words and of its characters."""
    rows = features.row == text
    is_word = features.bucket[rows] < SPACE.word_buckets
    return [sorted(features.count[rows][kept].tolist()) for kept in (is_word, ~is_word)]


@pytest.mark.parametrize("number", range(len(TEXTS)))
def test_the_counts_are_those_of_a_plain_loop(number: int) -> None:
    features = count_features(TEXTS, SPACE)
    assert features.texts == len(TEXTS)
    assert counts_of(features, number) == [sorted(part.values()) for part in plain_counts(TEXTS[number])]


def test_equal_n_grams_share_a_bucket_and_others_do_not() -> None:
    """As many buckets as different n-grams over all texts, and the same ones for a text alone."""
    together = count_features(TEXTS, SPACE)
    different = [set().union(*(plain_counts(text)[part] for text in TEXTS)) for part in (0, 1)]
    assert len(np.unique(together.bucket)) == sum(map(len, different))
    for number, text in enumerate(TEXTS):
        alone = count_features([text], SPACE)
        rows = together.row == number
        np.testing.assert_array_equal(alone.bucket, together.bucket[rows])
        np.testing.assert_array_equal(alone.words, together.words[together.word_row == number])


def test_few_buckets_are_filled_evenly() -> None:
    space = FeatureSpace(8, 8)
    words = [f"word{number}" for number in range(4000)]
    counts = np.bincount(count_features([" ".join(words)], space).bucket, minlength=space.size)
    assert counts.max() == 1 and count_features([" ".join(words)], space).count[:8].min() > 800


def test_no_text_at_all() -> None:
    features = count_features([], SPACE)
    assert features.texts == 0 and not len(features.row) and not len(features.words)
