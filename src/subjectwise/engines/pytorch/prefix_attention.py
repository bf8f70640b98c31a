"""Attention of packed sequences, each over itself and over a prefix that all share. Knows tensors; knows no model.

Keys and values of the prefix are read where they are, once for a whole pack: nothing is copied per sequence. Two
attentions, over the sequence alone and over the prefix alone, are merged by the log-sum-exp of their scores, which is
exact (Milakov and Gimelshein 2018; as in FlashDecoding and in cascade inference). On a GPU they are PyTorch's
variable-length attention (FlashAttention); elsewhere plain products, to which a test holds them equal.
"""

from __future__ import annotations

import importlib
import inspect
from typing import Any, NamedTuple

import torch
from torch import Tensor

PACKED = "packed"


class PackedRow(NamedTuple):
    """How one row holds many sequences, and what comes before each.

    Attributes:
        offsets: where each sequence begins, and the end of the last, [sequences + 1], int32; some may be empty.
        longest: no sequence is longer.
        whole: the row as one sequence, [2], int32: 0 and its tokens.
        prefix_offsets: the prefix as one sequence, [2], int32.
        prefix_keys: of this layer, [prefix, key heads, size]; None without a prefix.
        prefix_values: of this layer, [prefix, key heads, size]; None without a prefix.
    """

    offsets: Tensor
    longest: int
    whole: Tensor
    prefix_offsets: Tensor
    prefix_keys: Tensor | None = None
    prefix_values: Tensor | None = None


class Attended(NamedTuple):
    """What attention returns.

    Attributes:
        output: [tokens, heads, size].
        log_sum: log-sum-exp of each token's scores, [heads, tokens], float32.
    """

    output: Tensor
    log_sum: Tensor


def attend_packed(query: Tensor, key: Tensor, value: Tensor, row: PackedRow, scale: float) -> Tensor:
    """Attend within each sequence and over the prefix.

    Args:
        query: [tokens, heads, size].
        key: [tokens, key heads, size].
        value: [tokens, key heads, size].
        row: how the tokens are sequences.
        scale: of the scores.

    Returns:
        [tokens, heads, size].
    """
    attend = _fused if query.is_cuda else attend_plainly
    own = attend(query, key, value, row.offsets, row.offsets, row.longest, row.longest, True, scale)
    if row.prefix_keys is None or row.prefix_values is None:
        return own.output
    prefix = attend(
        query, row.prefix_keys, row.prefix_values, row.whole, row.prefix_offsets, len(query), len(row.prefix_keys),
        False, scale,
    )  # fmt: skip
    share = torch.sigmoid(prefix.log_sum - own.log_sum).t()[..., None]  # of the prefix, [tokens, heads, 1]
    return torch.lerp(own.output.float(), prefix.output.float(), share).to(query.dtype)


def attend_plainly(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    query_offsets: Tensor,
    key_offsets: Tensor,
    longest_query: int,
    longest_key: int,
    causal: bool,
    scale: float,
) -> Attended:
    """Compute what `_fused` does in plain products, [tokens, keys] at once: for tests and short rows.

    Args:
        query: [tokens, heads, size].
        key: [keys, key heads, size].
        value: [keys, key heads, size].
        query_offsets: where each sequence begins among the tokens, and the end of the last, [sequences + 1].
        key_offsets: where it begins among the keys.
        longest_query: ignored.
        longest_key: ignored.
        causal: whether a token sees no later one; tokens are then the keys' own.
        scale: of the scores.
    """
    (tokens, heads, size), (keys, shared, _) = query.shape, key.shape
    token = torch.arange(tokens, dtype=query_offsets.dtype)[:, None]
    other = torch.arange(keys, dtype=key_offsets.dtype)[None]
    seen = torch.bucketize(token, query_offsets[1:], right=True) == torch.bucketize(other, key_offsets[1:], right=True)
    if causal:
        seen = seen & (token >= other)
    grouped = query.float().view(tokens, shared, heads // shared, size)
    scores = torch.einsum("tkgd,skd->kgts", grouped, key.float()) * scale  # [key heads, group, tokens, keys]
    scores = scores.masked_fill(~seen, -torch.inf)
    output = torch.einsum("kgts,skd->tkgd", scores.softmax(dim=-1), value.float())
    return Attended(output.reshape(tokens, heads, size).to(query.dtype), scores.logsumexp(-1).view(heads, tokens))


def _fused(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    query_offsets: Tensor,
    key_offsets: Tensor,
    longest_query: int,
    longest_key: int,
    causal: bool,
    scale: float,
) -> Attended:
    """Compute attention by PyTorch's variable-length kernel; arguments as for `attend_plainly`.

    It reads the offsets on the device, so that one CUDA graph serves sequences of any lengths up to the longest.
    """
    output, log_sum = _varlen.varlen_attn(
        query, key, value, query_offsets, key_offsets, longest_query, longest_key,
        return_aux=_varlen.AuxRequest(lse=True), scale=scale, window_size=(-1, 0) if causal else (-1, -1),
        **_GROUPED_QUERIES,
    )  # fmt: skip
    return Attended(output, log_sum)


def _find_varlen() -> Any:
    """Return torch.nn.attention.varlen; None where this PyTorch lacks it, or has its first form (before 2.11)."""
    try:
        module = importlib.import_module("torch.nn.attention.varlen")
    except ImportError:
        return None
    return module if {"scale", "window_size"} <= set(inspect.signature(module.varlen_attn).parameters) else None


_varlen: Any = _find_varlen()

# Later versions want to know that several query heads share a key head; earlier ones take it as it comes.
_GROUPED_QUERIES = (
    {"enable_gqa": True} if _varlen and "enable_gqa" in inspect.signature(_varlen.varlen_attn).parameters else {}
)


def packed_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    packed: PackedRow | None = None,
    **options: object,
) -> tuple[Tensor, None]:
    """Compute attention as transformers calls it (its `AttentionInterface`).

    Args:
        module: the layer that asks.
        query: [rows, heads, tokens, size].
        key: [rows, key heads, keys, size].
        value: [rows, key heads, keys, size].
        attention_mask: as for PyTorch's fused kernel.
        scaling: of the scores; None for 1 / sqrt(size).
        packed: how a single row holds many sequences; None for rows as they are, by the fused kernel.
        options: what the fused kernel takes besides.

    Returns:
        [rows, tokens, heads, size], and no attention weights.
    """
    if packed is None:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        fused: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, **options
        )
        return fused
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    query, key, value = (part[0].transpose(0, 1) for part in (query, key, value))  # [tokens, heads, size]
    return attend_packed(query, key, value, packed, scale)[None], None


def register() -> str:
    """Register the attention with transformers; return the name by which a model asks for it."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(PACKED, packed_attention)
    AttentionMaskInterface.register(PACKED, sdpa_mask)
    return PACKED


def works_on(device: torch.device, dtype: torch.dtype, size: int) -> bool:
    """Return whether packed attention with heads of this size is right on a device, by a small example.

    FlashAttention is for bfloat16 and float16 on GPUs of compute capability 8.0 and later.
    """
    if device.type == "cpu":
        return True
    if device.type != "cuda" or _varlen is None or dtype not in (torch.bfloat16, torch.float16):
        return False
    generator = torch.Generator().manual_seed(0)
    query, key, value, keys, values = (
        torch.randn(24, heads, size, generator=generator).to(dtype) for heads in (4, 2, 2, 2, 2)
    )
    offsets, whole = (torch.tensor(ends, dtype=torch.int32) for ends in ([0, 5, 22, 22, 24], [0, 24]))
    row = PackedRow(offsets, 17, whole, whole, keys, values)
    expected = attend_packed(query, key, value, row, size**-0.5).float()
    moved = PackedRow(
        offsets.to(device), 17, whole.to(device), whole.to(device), keys.to(device), values.to(device)
    )  # fmt: skip
    try:
        given = attend_packed(query.to(device), key.to(device), value.to(device), moved, size**-0.5)
        return torch.allclose(given.float().cpu(), expected, atol=0.05, rtol=0.05)
    except (RuntimeError, TypeError, ValueError):
        return False
