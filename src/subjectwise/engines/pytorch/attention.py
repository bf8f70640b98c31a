"""Attention for a CPU, in plain matrix products. Knows tensors; knows no prompt and no prefix.

On a CPU these are faster than PyTorch's fused kernel for rows as short as questions: the query heads that share a key
head become further rows of one product, so that no keys are repeated for them, and the gradient is a product as well.
`benchmarks/speed.py` measures both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from subjectwise.types import LanguageModel

GROUPED = "grouped"

# From this length on the fused kernel is faster, since it skips what no token may see.
LONG = 256


@dataclass
class Packing:
    """Sequences of different lengths packed into one row, without padding (sequence packing).

    Only attention pads them again.

    Attributes:
        lengths: of the sequences, [sequences].
        start: tokens of the prefix, whose keys and values come before those of the sequences.
        positions: index in the packed row of each token of the padded sequences, [sequences, longest].
        sequence, column: of each token of the packed row, its sequence and its position there, [tokens].
        mask: added to the scores within one sequence, [longest, prefix + longest].
        layers: how many layers have attended by it.
    """

    lengths: Tensor
    start: int
    positions: Tensor
    sequence: Tensor
    column: Tensor
    mask: Tensor
    layers: int = 0

    @classmethod
    def of(cls, lengths: Sequence[int], start: int, dtype: torch.dtype) -> Packing:
        """Return the packing of sequences of these lengths behind a prefix of `start` tokens."""
        sizes = torch.tensor(lengths)
        longest = int(sizes.max())
        ends = sizes.cumsum(0)
        sequence = torch.repeat_interleave(torch.arange(len(sizes)), sizes)
        column = torch.arange(int(ends[-1])) - (ends - sizes)[sequence]
        # Padding, which is on the right and seen by no token, repeats the sequence's last token.
        positions = (ends - sizes)[:, None] + torch.minimum(torch.arange(longest)[None], sizes[:, None] - 1)
        unseen = torch.ones(longest, start + longest, dtype=torch.bool).triu(start + 1)
        mask = torch.zeros(unseen.shape, dtype=dtype).masked_fill(unseen, torch.finfo(dtype).min)
        return cls(sizes, start, positions, sequence, column, mask)


def grouped_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    packing: Packing | None = None,
    **options: object,
) -> tuple[Tensor, None]:
    """Compute scaled dot-product attention, as transformers calls it (its `AttentionInterface`).

    Args:
        module: the layer that asks.
        query: [rows, heads, tokens, size].
        key: [rows, key heads, keys, size].
        value: [rows, key heads, keys, size].
        attention_mask: added to the scores, [rows or 1, 1, tokens, keys]; None where every token sees all.
        scaling: of the scores; None for 1 / sqrt(size).
        dropout: on the attention weights.
        packing: how a single row holds many sequences; the mask is then ignored.
        options: what the fused kernel takes besides.

    Returns:
        [rows, tokens, heads, size], and no attention weights.
    """
    rows, heads, tokens, size = query.shape
    shared, keys = key.shape[1], key.shape[2]
    scale = size**-0.5 if scaling is None else scaling
    if packing is not None:
        packing.layers += 1
        return _packed_attention(query[0], key[0], value[0], packing, scale)[None], None
    if tokens > LONG and not torch.is_grad_enabled():
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        fused: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scale, **options
        )
        return fused
    group = heads // shared
    queries = (query * scale).reshape(rows, shared, group * tokens, size)
    scores = (queries @ key.transpose(2, 3)).view(rows, shared, group, tokens, keys)
    if attention_mask is not None:
        scores = scores + attention_mask[:, :, None]
    weights = torch.nn.functional.dropout(scores.softmax(dim=-1), dropout) if dropout else scores.softmax(dim=-1)
    output = weights.to(value.dtype).view(rows, shared, group * tokens, keys) @ value
    return output.view(rows, heads, tokens, size).transpose(1, 2).contiguous(), None


def _packed_attention(query: Tensor, key: Tensor, value: Tensor, packing: Packing, scale: float) -> Tensor:
    """Attend within each sequence and over the prefix.

    Args:
        query: [heads, tokens, size].
        key: [key heads, prefix + tokens, size].
        value: [key heads, prefix + tokens, size].
        packing: of the tokens.
        scale: of the scores.

    Returns:
        [tokens, heads, size].
    """
    heads, _, size = query.shape
    shared = key.shape[0]
    group = heads // shared
    sequences, longest = packing.positions.shape
    positions = packing.positions.flatten()
    queries = query.index_select(1, positions).view(shared, group, sequences, longest, size)
    queries = queries.transpose(1, 2).reshape(shared * sequences, group * longest, size)

    def padded(part: Tensor) -> Tensor:
        """Return [key heads * sequences, prefix + longest, size].

        A copy of the prefix per sequence costs less than a product of its own, whose scores would have to be copied
        beside the others.
        """
        before, own = part[:, None, : packing.start], part[:, packing.start :].index_select(1, positions)
        own = own.view(shared, sequences, longest, size)
        return torch.cat([before.expand(-1, sequences, -1, -1), own], dim=2).flatten(0, 1)

    mask = packing.mask.repeat(group, 1)[None]
    scores = torch.baddbmm(mask, queries, padded(key).transpose(1, 2), alpha=scale)
    output = (scores.softmax(dim=-1) @ padded(value)).view(shared, sequences, group, longest, size)
    return output[:, packing.sequence, :, packing.column].reshape(-1, heads, size)


def register() -> str:
    """Register the attention with transformers; return the name by which a model asks for it."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import eager_mask

    AttentionInterface.register(GROUPED, grouped_attention)
    AttentionMaskInterface.register(GROUPED, eager_mask)
    return GROUPED


def prefer_grouped(model: LanguageModel) -> None:
    """Use `grouped_attention` for a model on a CPU, in place of the fused kernel that computes the same."""
    if model.device.type == "cpu" and model.config._attn_implementation == "sdpa":
        model.set_attn_implementation(register())
