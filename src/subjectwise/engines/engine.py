"""What scoring asks of an engine, and the names of the engines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from subjectwise.engines.generation import Generator
from subjectwise.engines.label_trie import TokenTree
from subjectwise.types import FloatArray

PYTORCH, OPENVINO = ENGINES = ("pytorch", "openvino")

# OpenVINO on a CPU for the families that it knows, else PyTorch.
AUTO_ENGINE = "auto"


class Engine(Generator, Protocol):
    """A loaded model that answers one question: how likely are these tokens after these rows?"""

    @property
    def device(self) -> str:
        """The kind of device that computes, such as `cpu`."""
        ...

    @property
    def precision(self) -> str:
        """What it computes in, such as `float32`."""
        ...

    @property
    def tokens_per_batch(self) -> int:
        """How many tokens are read at once."""
        ...

    def padding_limit(self, longest: int, tree: TokenTree) -> int:
        """Return the tokens of padding that cost as much as another batch, for rows of up to `longest` tokens."""
        ...

    def token_log_probs(
        self, rows: Sequence[Sequence[int]], tree: TokenTree, wanted: Sequence[Sequence[int]]
    ) -> list[FloatArray]:
        """Return log-probabilities of the `wanted` tokens: after the row, then after each token of the tree.

        Returns:
            An array [rows, wanted[i]] for each i in 0 … len(tree.ids).
        """
        ...
