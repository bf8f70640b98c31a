"""The PyTorch engine: one forward pass with a cached prefix. Knows token ids; knows no strings and no labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from subjectwise.engines.attention import prefer_grouped
from subjectwise.engines.output_head import OutputHead
from subjectwise.engines.reading import (
    SHORT_PREFIX,
    Tail,
    can_pack,
    is_short,
    pays_to_pack,
    read_packed,
    read_prefix,
    read_rows_with_tail,
)

# Tokens of padding in a batch that cost as much as another batch would, about.
PADDING = 128


def tokens_per_batch(device: torch.device) -> int:
    """How many tokens are read at once: enough to keep the device busy, few enough for its caches."""
    return 1024 if device.type == "cpu" else 32768


class PyTorchEngine:
    """A loaded model that answers one question: how likely are these tokens after these rows?"""

    def __init__(self, model: Any, prefix_ids: Sequence[int]) -> None:
        self.model = model.eval()
        prefer_grouped(model)
        self._head = OutputHead(model)
        with torch.inference_mode():
            self.prefix = read_prefix(model, prefix_ids, share=len(prefix_ids) >= SHORT_PREFIX)
            self._packs = can_pack(model, self.prefix)

    def most_padding(self, longest: int, tail: Tail) -> int:
        return 4 * PADDING if self._packs and not tail.ids and is_short(self.prefix, longest) else PADDING

    @property
    def tokens_per_batch(self) -> int:
        return tokens_per_batch(self.model.device)

    def token_log_probs(
        self, rows: Sequence[Sequence[int]], tail: Tail, wanted: Sequence[Sequence[int]]
    ) -> list[Tensor]:
        """Log-probabilities of the `wanted` tokens: first those that follow the row, then those after each tail token.

        Returns a float32 tensor [rows, wanted[i]] on the CPU for each i in 0 … len(tail).
        """
        with torch.inference_mode():
            if self._packs and not tail.ids and pays_to_pack(self.prefix, rows):
                read = read_packed(self.model, self.prefix, rows)
            else:
                read = read_rows_with_tail(self.model, self.prefix, rows, tail)
            return self._head.log_probs(read, wanted)
