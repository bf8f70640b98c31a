"""Attention in packs is attention over the prefix and the sequence as one text."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from subjectwise.engines.pytorch.prefix_attention import PackedRow, attend_packed, works_on

LENGTHS, PREFIX = (3, 1, 6), 4


def random(tokens: int, heads: int) -> Tensor:
    return torch.randn(tokens, heads, 8)


def row_of(keys: Tensor | None, values: Tensor | None) -> PackedRow:
    # A sequence of no tokens is at the end, as in a pack that is not full.
    ends = torch.tensor([0, 3, 4, 10, 10], dtype=torch.int32)
    prefix = torch.tensor([0, PREFIX if keys is not None else 0], dtype=torch.int32)
    return PackedRow(ends, 6, torch.tensor([0, 10], dtype=torch.int32), prefix, keys, values)


@pytest.mark.parametrize("shared", [True, False], ids=["behind a prefix", "alone"])
def test_it_is_attention_over_prefix_and_sequence(shared: bool) -> None:
    torch.manual_seed(0)
    query, key, value = random(10, 4), random(10, 2), random(10, 2)
    keys, values = (random(PREFIX, 2), random(PREFIX, 2)) if shared else (None, None)
    given = attend_packed(query, key, value, row_of(keys, values), 0.3)
    start = 0
    for length in LENGTHS:
        own = slice(start, start + length)
        whole_keys, whole_values = key[own], value[own]
        if keys is not None and values is not None:
            whole_keys, whole_values = torch.cat([keys, key[own]]), torch.cat([values, value[own]])
        mask = torch.ones(length, len(whole_keys), dtype=torch.bool).tril(len(whole_keys) - length)
        expected = torch.nn.functional.scaled_dot_product_attention(
            query[own].transpose(0, 1)[None], whole_keys.transpose(0, 1)[None], whole_values.transpose(0, 1)[None],
            attn_mask=mask, scale=0.3, enable_gqa=True,
        )  # fmt: skip
        torch.testing.assert_close(given[own], expected[0].transpose(0, 1))
        start += length


def test_a_cpu_can_always() -> None:
    assert works_on(torch.device("cpu"), torch.float32, 8)
    assert not works_on(torch.device("meta"), torch.float32, 8)
