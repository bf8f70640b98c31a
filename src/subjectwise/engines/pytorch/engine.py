"""The PyTorch engine: the forward pass and the output head of a loaded model. Knows no strings and no labels."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch

from subjectwise.engines.generation import NextToken
from subjectwise.engines.label_trie import TokenTree
from subjectwise.engines.pytorch.attention import prefer_grouped
from subjectwise.engines.pytorch.forward import (
    SHORT_PREFIX,
    can_pack,
    is_short,
    pays_to_pack,
    run_packed,
    run_prefix,
    run_rows_with_tree,
)
from subjectwise.engines.pytorch.output_head import OutputHead
from subjectwise.engines.pytorch.packed_decoder import PackedDecoder, can_run_packs
from subjectwise.engines.pytorch.packs import SIZES, PackSize
from subjectwise.engines.token_budget import PADDING
from subjectwise.types import FloatArray, LanguageModel

# Packs of the largest size in a batch: the device is waited for at its end.
_PACKS_PER_BATCH = 16


def tokens_per_batch(device: torch.device) -> int:
    """Return how many tokens are read at once: enough to keep the device busy, few enough for its caches."""
    return 1024 if device.type == "cpu" else 32768


class PyTorchEngine:
    """A loaded model with the prompt's prefix in its cache.

    Args:
        model: a causal language model, on its device.
        prefix_ids: the prompt's prefix, which it reads once.
        packs: sizes of the packs in which rows are read (`PackedDecoder`); () for none, None for the usual ones where
            the model is on a GPU and can be run so.
    """

    def __init__(
        self, model: LanguageModel, prefix_ids: Sequence[int], packs: Sequence[PackSize] | None = None
    ) -> None:
        self.model: LanguageModel = model.eval()
        self._head = OutputHead(model)
        if packs is None:
            packs = SIZES if model.device.type == "cuda" and can_run_packs(model) else ()
        if not packs:
            prefer_grouped(model)
        with torch.inference_mode():
            self.prefix = run_prefix(model, prefix_ids, share=len(prefix_ids) >= SHORT_PREFIX)
            self.packed_decoder = PackedDecoder(model, self.prefix, packs) if packs else None
            self._packs = not packs and can_pack(model, self.prefix)

    @property
    def device(self) -> str:
        """The kind of device that computes, such as `cpu`."""
        return str(self.model.device.type)

    @property
    def precision(self) -> str:
        """What it computes in, such as `float32`."""
        return str(self.model.dtype).removeprefix("torch.")

    @property
    def tokens_per_batch(self) -> int:
        """How many tokens are read at once; of packs, many before the answers are waited for."""
        if self.packed_decoder:
            return _PACKS_PER_BATCH * self.packed_decoder.sizes[-1].tokens
        return tokens_per_batch(self.model.device)

    def padding_limit(self, longest: int, tree: TokenTree) -> int:
        """Return the tokens of padding that cost as much as another batch; packed rows have none."""
        if self.packed_decoder and self.packed_decoder.reads(1, longest, tree):
            return self.tokens_per_batch
        return 4 * PADDING if self._packs and not tree.ids and is_short(self.prefix, longest) else PADDING

    def token_log_probs(
        self, rows: Sequence[Sequence[int]], tree: TokenTree, wanted: Sequence[Sequence[int]]
    ) -> list[FloatArray]:
        """Return log-probabilities of the `wanted` tokens: after the row, then after each token of the tree.

        Returns:
            A float32 array [rows, wanted[i]] for each i in 0 … len(tree.ids).
        """
        with torch.inference_mode():
            if self.packed_decoder and self.packed_decoder.reads(len(rows), max(map(len, rows)), tree):
                states = self.packed_decoder.states(rows, tree)
            elif self._packs and not tree.ids and pays_to_pack(self.prefix, rows):
                states = run_packed(self.model, self.prefix, rows)
            else:
                states = run_rows_with_tree(self.model, self.prefix, rows, tree)
            return self._head.log_probs(states, wanted)

    def next_token(self) -> NextToken:
        """Return a function that reads a text in pieces, from its beginning, and returns the next token after each."""
        return TextReader(self.model)


class TextReader:
    """Reads a text in pieces with a causal language model, and returns the most likely next token after each.

    Args:
        model: a causal language model, on its device.
    """

    def __init__(self, model: LanguageModel) -> None:
        self._model, self._cache = model, None

    def __call__(self, ids: Sequence[int], excluded: Collection[int]) -> int:
        """Read more of the text; return the most likely token that is not excluded."""
        tokens = torch.tensor([list(ids)], device=self._model.device)  # [1, tokens]
        with torch.inference_mode():
            output = self._model(input_ids=tokens, past_key_values=self._cache, use_cache=True, logits_to_keep=1)
            self._cache = output.past_key_values
            logits = output.logits[0, -1].float()
            logits[sorted(excluded)] = -torch.inf
            return int(logits.argmax())
