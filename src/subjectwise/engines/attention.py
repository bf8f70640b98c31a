"""Attention for a CPU, in plain matrix products. Knows tensors; knows no prompt and no prefix.

On a CPU these are faster than PyTorch's fused kernel where rows are short, as questions are: the query heads that share
a key head are read as further rows of one product, so that no keys are repeated for them, and the gradient is a product
as well. `benchmarks/speed.py` measures both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

GROUPED = "grouped"

# From this length on the fused kernel is faster, since it leaves out what no token may see.
LONG = 256


@dataclass
class Packing:
    """Rows of unlike lengths that stand one behind the other in a single row, without padding.

    Linear layers read no padding then; attention alone fills the rows up.

    Attributes:
        lengths: of the rows, [rows].
        start: tokens of the prefix, whose keys and values stand before those of the rows.
        places: in the single row, of the token at each place of a filled-up row, [rows, longest].
        row, column: of each token of the single row among the filled-up rows, [tokens].
        mask: of what a token may not see of its own row, added to the scores, [longest, prefix and longest].
        layers: how many layers have attended by it.
    """

    lengths: Tensor
    start: int
    places: Tensor
    row: Tensor
    column: Tensor
    mask: Tensor
    layers: int = 0

    @classmethod
    def of(cls, lengths: Sequence[int], start: int, dtype: torch.dtype) -> Packing:
        sizes = torch.tensor(lengths)
        longest = int(sizes.max())
        ends = sizes.cumsum(0)
        row = torch.repeat_interleave(torch.arange(len(sizes)), sizes)
        column = torch.arange(int(ends[-1])) - (ends - sizes)[row]
        # Padding, which stands to the right and is seen by no token, repeats the row's last one.
        places = (ends - sizes)[:, None] + torch.minimum(torch.arange(longest)[None], sizes[:, None] - 1)
        unseen = torch.ones(longest, start + longest, dtype=torch.bool).triu(start + 1)
        mask = torch.zeros(unseen.shape, dtype=dtype).masked_fill(unseen, torch.finfo(dtype).min)
        return cls(sizes, start, places, row, column, mask)


def grouped_attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    packing: Packing | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Scaled dot-product attention as transformers calls it (its `AttentionInterface`).

    Args:
        query: [rows, heads, tokens, size].
        key, value: [rows, key heads, keys, size].
        attention_mask: added to the scores, [rows or 1, 1, tokens, keys]; None where every token sees all.
        packing: how a single row holds many; the mask is then not read.

    Returns:
        [rows, tokens, heads, size], and no attention weights.
    """
    rows, heads, tokens, size = query.shape
    shared, keys = key.shape[1], key.shape[2]
    scale = size**-0.5 if scaling is None else scaling
    if packing is not None:
        packing.layers += 1
        return _attend_packed(query[0], key[0], value[0], packing, scale)[None], None
    if tokens > LONG and not torch.is_grad_enabled():
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        found: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scale, **kwargs
        )
        return found
    group = heads // shared
    queries = (query * scale).reshape(rows, shared, group * tokens, size)
    scores = (queries @ key.transpose(2, 3)).view(rows, shared, group, tokens, keys)
    if attention_mask is not None:
        scores = scores + attention_mask[:, :, None]
    weights = torch.nn.functional.dropout(scores.softmax(dim=-1), dropout) if dropout else scores.softmax(dim=-1)
    read = weights.to(value.dtype).view(rows, shared, group * tokens, keys) @ value
    return read.view(rows, heads, tokens, size).transpose(1, 2).contiguous(), None


def _attend_packed(query: Tensor, key: Tensor, value: Tensor, packing: Packing, scale: float) -> Tensor:
    """Attention within each row and over the prefix, [tokens, heads, size].

    Args:
        query: [heads, tokens, size].
        key, value: [key heads, prefix and tokens, size].
    """
    heads, _, size = query.shape
    shared = key.shape[0]
    group = heads // shared
    rows, longest = packing.places.shape
    places = packing.places.flatten()
    queries = query.index_select(1, places).view(shared, group, rows, longest, size)
    queries = queries.transpose(1, 2).reshape(shared * rows, group * longest, size)

    def filled_up(part: Tensor) -> Tensor:
        """[key heads * rows, prefix and longest, size]. A copy of the prefix for each row costs less than to read it
        apart, whose scores would have to be copied beside the others."""
        before, own = part[:, None, : packing.start], part[:, packing.start :].index_select(1, places)
        own = own.view(shared, rows, longest, size)
        return torch.cat([before.expand(-1, rows, -1, -1), own], dim=2).flatten(0, 1)

    mask = packing.mask.repeat(group, 1)[None]
    scores = torch.baddbmm(mask, queries, filled_up(key).transpose(1, 2), alpha=scale)
    read = scores.softmax(dim=-1) @ filled_up(value)
    found = read.view(shared, rows, group, longest, size)[:, packing.row, :, packing.column]
    return found.reshape(-1, heads, size)


def register() -> str:
    """Makes the attention known to transformers; returns the name by which a model asks for it."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import eager_mask

    AttentionInterface.register(GROUPED, grouped_attention)
    AttentionMaskInterface.register(GROUPED, eager_mask)
    return GROUPED


def prefer_grouped(model: Any) -> None:
    """Lets a model on a CPU read by `grouped_attention`, in place of the fused kernel that computes the same."""
    if model.device.type == "cpu" and model.config._attn_implementation == "sdpa":
        model.set_attn_implementation(register())
