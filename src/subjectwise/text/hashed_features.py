"""Words and character n-grams of texts as hashed features, counted. numpy only; knows no labels and no weights.

The texts of a batch are one array of code points, over which every n-gram is hashed at once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from subjectwise.types import BoolArray, IntArray

_Hashes = npt.NDArray[np.uint64]

_WORD = re.compile(r"\w+")
_NEWLINE, _SPACE = 10, 32

# Odd 64-bit constants: of the polynomial hash, and of the mixing steps of SplitMix64 (Steele et al. 2014).
_BASE = np.uint64(0x9E3779B97F4A7C15)
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


@dataclass(frozen=True)
class FeatureSpace:
    """What is counted, and into how many buckets; saved with the weights.

    Attributes:
        word_buckets: for words and pairs of neighbouring words.
        character_buckets: for n-grams of characters within a word and the spaces around it.
        shortest, longest: of the n-grams of characters.
    """

    word_buckets: int
    character_buckets: int
    shortest: int = 2
    longest: int = 5

    @property
    def size(self) -> int:
        """How many buckets there are."""
        return self.word_buckets + self.character_buckets


@dataclass(frozen=True)
class FeatureRows:
    """Counts of features in texts, as sparse rows.

    Attributes:
        row: the text that each entry belongs to, ascending, [entries].
        bucket: its feature, ascending within a row, [entries].
        count: how often the text has it, [entries].
        texts: how many there are.
        words: hashes of the texts' words, before they are put into buckets, [words].
        word_row: the text of each, ascending, [words].
    """

    row: IntArray
    bucket: IntArray
    count: IntArray
    texts: int
    words: _Hashes
    word_row: IntArray


def count_features(texts: Sequence[str], space: FeatureSpace) -> FeatureRows:
    """Count the words, pairs of words and character n-grams of each text, letter case folded."""
    lower = [text.lower() for text in texts]
    words, word_row = _hash_words([_WORD.findall(text) for text in lower])
    together = word_row[:-1] == word_row[1:]
    pairs = _mixed(words[:-1] * _BASE + words[1:])[together]
    rows = [word_row, word_row[:-1][together]]
    buckets = [words % np.uint64(space.word_buckets), pairs % np.uint64(space.word_buckets)]
    for n_grams, row in _hash_characters([" ".join(text.split()) for text in lower], space):
        rows.append(row)
        buckets.append(np.uint64(space.word_buckets) + _mixed(n_grams) % np.uint64(space.character_buckets))
    keys = np.concatenate(rows) * space.size + np.concatenate(buckets).astype(np.int64)
    keys.sort()
    first = np.flatnonzero(np.diff(keys, prepend=-1))
    row, bucket = np.divmod(keys[first], space.size)
    return FeatureRows(row, bucket, np.diff(first, append=len(keys)), len(texts), words, word_row)


def _hash_words(tokens: Sequence[Sequence[str]]) -> tuple[_Hashes, IntArray]:
    """Return the hash of each word, and the text that it belongs to, [words] each."""
    flat = [word for text in tokens for word in text]
    row = np.repeat(np.arange(len(tokens)), [len(text) for text in tokens])
    if not flat:
        return np.zeros(0, dtype=np.uint64), row
    points = _code_points("".join(flat))
    lengths = np.array([len(word) for word in flat])
    starts = np.cumsum(lengths) - lengths
    within = np.arange(len(points)) - np.repeat(starts, lengths)
    powers = np.cumprod(np.full(int(lengths.max()), _BASE))
    return _mixed(np.add.reduceat(points * powers[within], starts)), row


def _hash_characters(texts: Sequence[str], space: FeatureSpace) -> list[tuple[_Hashes, IntArray]]:
    """Return for each length the hashes of n-grams, and the texts that they belong to, [n-grams] each.

    An n-gram lies within a word and the spaces around it, as scikit-learn's `char_wb` has it.
    """
    points = _code_points("".join(f" {text} \n" for text in texts))
    end = points == _NEWLINE
    row = np.cumsum(end) - end
    inside = ~(end | (points == _SPACE))
    hashes, within = points, ~end
    n_grams = []
    for length in range(2, space.longest + 1):
        following = length - 1
        hashes = hashes[:-1] * _BASE + points[following:]
        within = _extended(within, inside, length)
        if length >= space.shortest:
            kept = np.flatnonzero(within & ~end[following:])
            n_grams.append((hashes[kept], row[kept]))
    return n_grams


def _extended(within: BoolArray, inside: BoolArray, length: int) -> BoolArray:
    """Return where an n-gram of `length` has characters of a word alone between its first and its last one."""
    last_between = length - 2
    return within[:-1] & inside[last_between:-1] if last_between else within[:-1]


def _code_points(text: str) -> _Hashes:
    return np.frombuffer(text.encode("utf-32-le"), dtype="<u4").astype(np.uint64)


def _mixed(hashes: _Hashes) -> _Hashes:
    """Spread hashes over all 64 bits, so that their remainders are even."""
    hashes = (hashes ^ (hashes >> np.uint64(30))) * _MIX_1
    hashes = (hashes ^ (hashes >> np.uint64(27))) * _MIX_2
    return np.asarray(hashes ^ (hashes >> np.uint64(31)))
