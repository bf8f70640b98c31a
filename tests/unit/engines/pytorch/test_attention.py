"""Attention in plain matrix products is the fused kernel's, packed or not."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from subjectwise.engines.pytorch.attention import GROUPED, Packing, grouped_attention, prefer_grouped
from subjectwise.models.base_model import load_base

MODULE: Any = SimpleNamespace(num_key_value_groups=3, is_causal=True)


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize(("tokens", "before"), [(7, 0), (7, 5), (300, 0), (300, 4)])
def test_it_is_the_fused_kernels(rows: int, tokens: int, before: int) -> None:
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(rows, 6, tokens, 8, generator=generator)
    key, value = (torch.randn(rows, 2, before + tokens, 8, generator=generator) for _ in range(2))
    seen = torch.ones(tokens, before + tokens, dtype=torch.bool).tril(diagonal=before)
    mask = torch.zeros(1, 1, tokens, before + tokens).masked_fill(~seen, torch.finfo(torch.float32).min)
    expected = torch.nn.functional.scaled_dot_product_attention(query, key, value, mask, enable_gqa=True)
    output, _ = grouped_attention(MODULE, query, key, value, mask, scaling=8**-0.5)
    torch.testing.assert_close(output, expected.transpose(1, 2), atol=1e-5, rtol=1e-4)
    with torch.inference_mode():
        again, _ = grouped_attention(MODULE, query, key, value, mask)
    torch.testing.assert_close(again, output, atol=1e-5, rtol=1e-4)


def test_packed_sequences_see_the_prefix_and_themselves() -> None:
    generator = torch.Generator().manual_seed(1)
    lengths, before = [3, 1, 4], 2
    query = torch.randn(1, 6, sum(lengths), 8, generator=generator)
    key, value = (torch.randn(1, 2, before + sum(lengths), 8, generator=generator) for _ in range(2))
    packing = Packing.of(lengths, before, torch.float32)
    packed, _ = grouped_attention(MODULE, query, key, value, None, packing=packing)
    assert packing.layers == 1
    start = 0
    for length in lengths:
        own = slice(start, start + length)
        parts = [torch.cat([part[:, :, :before], part[:, :, before:][:, :, own]], dim=2) for part in (key, value)]
        seen = torch.ones(length, before + length, dtype=torch.bool).tril(diagonal=before)
        alone = torch.nn.functional.scaled_dot_product_attention(query[:, :, own], *parts, seen, enable_gqa=True)
        torch.testing.assert_close(packed[:, own], alone.transpose(1, 2), atol=1e-5, rtol=1e-4)
        start += length


def test_a_model_keeps_another_attention_that_was_requested(tiny_base: Path) -> None:
    usual, eager = (load_base(str(tiny_base), device="cpu", attention=name).model for name in (None, "eager"))
    for model in (usual, eager):
        prefer_grouped(model)
    assert usual.config._attn_implementation == GROUPED
    assert eager.config._attn_implementation == "eager"
