"""Attention for a CPU, in plain matrix products. Knows tensors; knows no prompt and no prefix.

On a CPU these are faster than PyTorch's fused kernel where rows are short, as questions are: the query heads that share
a key head are read as further rows of one product, so that no keys are repeated for them, and the gradient is a product
as well. `benchmarks/speed.py` measures both.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

GROUPED = "grouped"

# From this length on the fused kernel is faster, since it leaves out what no token may see.
_LONG = 256


def grouped_attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Scaled dot-product attention as transformers calls it (its `AttentionInterface`).

    Args:
        query: [rows, heads, tokens, size].
        key, value: [rows, key heads, keys, size].
        attention_mask: added to the scores, [rows or 1, 1, tokens, keys]; None where every token sees all.

    Returns:
        [rows, tokens, heads, size], and no attention weights.
    """
    rows, heads, tokens, size = query.shape
    shared, keys = key.shape[1], key.shape[2]
    scale = size**-0.5 if scaling is None else scaling
    if tokens > _LONG and not torch.is_grad_enabled():
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
