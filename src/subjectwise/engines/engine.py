"""What scoring asks of an engine, and the engines by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from subjectwise.engines.label_trie import TokenTree
from subjectwise.errors import BaseModelError
from subjectwise.types import FloatArray, LanguageModel

if TYPE_CHECKING:
    import torch

PYTORCH, OPENVINO = ENGINES = ("pytorch", "openvino")


class Engine(Protocol):
    """A loaded model that answers one question: how likely are these tokens after these rows?"""

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


def make_engine(
    name: str, model: LanguageModel, prefix_ids: Sequence[int], precision: torch.dtype | None = None
) -> Engine:
    """Build the engine of that name around a loaded model.

    Args:
        name: one of `ENGINES`.
        model: a causal language model.
        prefix_ids: the prompt's prefix, which it reads once.
        precision: what OpenVINO computes in, where it is not that of the model.

    Raises:
        BaseModelError: an unknown engine, or one that is not installed or cannot run such a model.
    """
    if name == OPENVINO:
        from subjectwise.engines.openvino.engine import OpenVINOEngine

        return OpenVINOEngine(model, prefix_ids, precision or model.dtype)
    if name != PYTORCH:
        raise BaseModelError(f"Unknown engine {name!r}; choose one of {', '.join(ENGINES)}.")
    from subjectwise.engines.pytorch.engine import PyTorchEngine

    return PyTorchEngine(model, prefix_ids)


def loading_dtype(engine: str, dtype: str) -> str:
    """Return the precision to load a base in for an engine that computes in `dtype`: OpenVINO rounds by itself."""
    return "float32" if engine == OPENVINO else dtype
