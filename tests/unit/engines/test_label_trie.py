"""Labels as a tree of tokens, cut where each is unique; and the tree that an engine reads after a row."""

from __future__ import annotations

import numpy as np
import pytest

from subjectwise.engines.label_trie import LabelTrie, TokenTree
from subjectwise.errors import DataError


def test_the_trie_stops_where_a_label_is_unique() -> None:
    trie = LabelTrie([[1, 2, 3], [1, 4], [5, 6], [1]], end_ids=[9])
    assert trie.paths == [[1, 2], [1, 4], [5], [1, 9]]
    assert (trie.tree.ids, trie.tree.parents) == ([1], [-1])
    assert trie.wanted == [[1, 5], [2, 4, 9]]
    deep = LabelTrie([[1, 2, 3], [1, 2, 4]], end_ids=[])
    assert (deep.tree.ids, deep.tree.parents) == ([1, 2], [-1, 0])


def test_labels_of_the_same_tokens_are_refused() -> None:
    with pytest.raises(DataError, match="Cannot tell label 1 from another by its tokens"):
        LabelTrie([[1, 2], [1, 2]], end_ids=[9])
    with pytest.raises(DataError, match="Cannot tell label 1 from another"):
        LabelTrie([[1], [1, 2]], end_ids=[])


def test_the_choices_of_a_label_are_the_tokens_with_which_any_label_continues() -> None:
    trie = LabelTrie([[1, 2, 3], [1, 4], [5, 6], [1]], end_ids=[9])
    assert [trie.choices(label) for label in range(4)] == [
        [[1, 5], [2, 4, 9]], [[1, 5], [2, 4, 9]], [[1, 5]], [[1, 5], [2, 4, 9]],
    ]  # fmt: skip


def test_log_probabilities_are_summed_along_each_path() -> None:
    trie = LabelTrie([[1, 2, 3], [1, 4], [5, 6], [1]], end_ids=[9])
    root, inner = np.array([[-1.0, -2.0], [-3.0, -4.0]]), np.array([[-10.0, -20.0, -30.0], [-40.0, -50.0, -60.0]])
    expected = [[-11, -21, -2, -31], [-43, -53, -4, -63]]
    np.testing.assert_array_equal(trie.sum_paths([root, inner]), expected)


def test_a_token_sees_itself_and_its_ancestors() -> None:
    tree = TokenTree([7, 8, 9, 8], [-1, 0, 1, -1])
    assert tree.depths() == [0, 1, 2, 0]
    assert tree.paths() == [[7], [7, 8], [7, 8, 9], [8]]
    seen = [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [0, 0, 0, 1]]
    np.testing.assert_array_equal(tree.visible(), np.array(seen, dtype=bool))
