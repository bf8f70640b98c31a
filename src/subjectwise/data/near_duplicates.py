"""Groups of questions that are equal or nearly so, so that a split never has one of them on each side."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from subjectwise.types import IntArray
from subjectwise.utils.optional_dependencies import require

_NOT_WORD = re.compile(r"[\W_]+")

# Jaccard similarity of three-word shingles above which two questions are near-duplicates.
NEAR_DUPLICATE_THRESHOLD = 0.8
_PERMUTATIONS = 128


def fold_text(text: str) -> str:
    """Return `text` without case, punctuation and spacing. Text of punctuation alone (a formula, say) keeps it."""
    return _NOT_WORD.sub(" ", text.casefold()).strip() or " ".join(text.split())


def _shingles(folded: str) -> set[bytes]:
    words = folded.split()
    return {" ".join(words[i : i + 3]).encode() for i in range(max(1, len(words) - 2))}


def near_duplicate_groups(
    texts: Sequence[str], threshold: float = NEAR_DUPLICATE_THRESHOLD, seed: int = 42
) -> IntArray:
    """Return the group of each text, [texts]; two texts share one when a chain of near-duplicates joins them.

    Candidates come from MinHash and locality-sensitive hashing (Broder 1997), and each is confirmed by its exact
    Jaccard similarity, so that `threshold` means what it says.

    Args:
        texts: to compare.
        threshold: Jaccard similarity from which on two texts are near-duplicates; 1.0 for exact duplicates only.
        seed: of the hashing.

    Raises:
        SubjectwiseError: datasketch is not installed; the message has the command that installs it.
    """
    datasketch = require("datasketch", "train")
    coo_matrix = require("scipy.sparse", "train").coo_matrix
    connected_components = require("scipy.sparse.csgraph", "train").connected_components

    folded = [fold_text(text) for text in texts]
    unique, first = np.unique(np.array(folded, dtype=object), return_inverse=True)
    left: list[int] = []
    right: list[int] = []
    if threshold < 1.0:
        shingles = [_shingles(text) for text in unique]
        index = datasketch.MinHashLSH(threshold=threshold * 0.9, num_perm=_PERMUTATIONS)
        signatures = datasketch.MinHash.generator(shingles, num_perm=_PERMUTATIONS, seed=seed)
        for number, signature in enumerate(signatures):
            for other in index.query(signature):
                shared = len(shingles[number] & shingles[other])
                if shared >= threshold * (len(shingles[number]) + len(shingles[other]) - shared):
                    left.append(number)
                    right.append(other)
            index.insert(number, signature)
    links = coo_matrix((np.ones(len(left)), (left, right)), shape=(len(unique), len(unique)))
    groups = connected_components(links, directed=False)[1]
    return np.asarray(groups[first], dtype=np.int64)
