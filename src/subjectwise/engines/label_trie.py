"""The labels as a tree of tokens, and the tree of tokens that an engine reads after each row. Knows no model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from subjectwise.errors import DataError
from subjectwise.types import BoolArray, FloatArray


@dataclass(frozen=True)
class TokenTree:
    """A tree of tokens that is read after every row.

    Attributes:
        ids: the token ids, parents before their children.
        parents: the index of each token's parent in `ids`; -1 where it follows the row itself.
    """

    ids: list[int] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)

    def depths(self) -> list[int]:
        """Return the depth of each token, 0 for those that follow the row itself."""
        depths: list[int] = []
        for parent in self.parents:
            depths.append(0 if parent < 0 else depths[parent] + 1)
        return depths

    def paths(self) -> list[list[int]]:
        """Return the ids from the row to each token, itself included."""
        paths: list[list[int]] = []
        for token, parent in zip(self.ids, self.parents, strict=True):
            paths.append([*(paths[parent] if parent >= 0 else []), token])
        return paths

    def visible(self) -> BoolArray:
        """Return [tokens, tokens], true where a token sees another: itself and its ancestors."""
        visible = np.eye(len(self.ids), dtype=bool)
        for index, parent in enumerate(self.parents):
            if parent >= 0:
                visible[index] |= visible[parent]
        return visible


NO_TREE = TokenTree()


class LabelTrie:
    """The labels as a tree of tokens, each cut at the token that makes it unique.

    Attributes:
        paths: the ids that are scored for each label; the `label` loss has the same targets.
        tree: the inner nodes below the root, as the engine reads them after a row.
        wanted: the ids that follow the root and each inner node.

    Args:
        label_ids: the token ids of each label.
        end_ids: the end-of-answer token, scored where one label is the beginning of another; at most one.

    Raises:
        DataError: two labels have the same tokens, or one begins another and there is no end token to tell them apart.
    """

    def __init__(self, label_ids: Sequence[Sequence[int]], end_ids: Sequence[int]) -> None:
        # 1) Cut each label at the token that makes it unique
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
                raise DataError(f"Cannot tell label {i + 1} from another by its tokens; rename one of them.")
            self.paths.append(list(ids[:size]))

        # 2) Number the nodes that labels share
        numbers: dict[tuple[int, ...], int] = {(): 0}
        self.wanted: list[list[int]] = [[]]
        self.tree = TokenTree()
        # [label][token]: which node, and which of its wanted tokens
        self._steps: list[list[tuple[int, int]]] = []
        for path in self.paths:
            steps = []
            for depth, token in enumerate(path):
                node = tuple(path[:depth])
                if node not in numbers:
                    numbers[node] = len(self.wanted)
                    self.wanted.append([])
                    self.tree.ids.append(node[-1])
                    self.tree.parents.append(numbers[node[:-1]] - 1)
                following = self.wanted[numbers[node]]
                if token not in following:
                    following.append(token)
                steps.append((numbers[node], following.index(token)))
            self._steps.append(steps)

    def choices(self, label: int) -> list[list[int]]:
        """Return, for each token of the label's path, the tokens with which any label continues there."""
        return [self.wanted[node] for node, _ in self._steps[label]]

    def sum_paths(self, log_probs: Sequence[FloatArray]) -> FloatArray:
        """Sum the log-probabilities along each label's path.

        Args:
            log_probs: of the wanted tokens of the root and of each inner node, each [rows, wanted].

        Returns:
            [rows, labels] in float64.
        """
        columns = [sum(log_probs[node][:, token].astype(np.float64) for node, token in steps) for steps in self._steps]
        return np.stack([np.asarray(column) for column in columns], axis=1)
