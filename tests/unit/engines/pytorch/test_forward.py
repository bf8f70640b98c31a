"""Rows behind a shared prefix, padded or packed, have the hidden states of the whole text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from helpers.tiny_models import decoder_configs, save_base
from subjectwise.engines.label_trie import TokenTree
from subjectwise.engines.pytorch.attention import prefer_grouped
from subjectwise.engines.pytorch.forward import (
    can_pack,
    decoder_of,
    pays_to_pack,
    run_packed,
    run_prefix,
    run_rows_with_tree,
    shares_prefix,
)
from subjectwise.models.base_model import load_base
from subjectwise.types import LanguageModel

PREFIX = list(range(20, 40))
WITHOUT_WINDOWS = ("llama", "untied llama", "qwen2", "qwen3")
ROWS = [[5, 6, 7], [8], [9, 10, 11, 12, 13, 14, 15], [5, 6, 8]]


def model_of(folder: Path, tokenizer: Any, kind: str) -> LanguageModel:
    save_base(folder, decoder_configs(len(tokenizer))[kind], tokenizer)
    model = load_base(str(folder), device="cpu", dtype="float32").model
    prefer_grouped(model)
    return model


@pytest.mark.parametrize("share", [True, False], ids=["shared prefix", "prefix in each row"])
@pytest.mark.parametrize("kind", list(decoder_configs(600)))
def test_packed_rows_are_the_padded_ones(tmp_path: Path, tokenizer: Any, kind: str, share: bool) -> None:
    model = model_of(tmp_path / "base", tokenizer, kind)
    with torch.inference_mode():
        prefix = run_prefix(model, PREFIX, share=share)
        assert can_pack(model, prefix) == shares_prefix(model) == (kind in WITHOUT_WINDOWS)
        if not can_pack(model, prefix):
            return
        expected = run_rows_with_tree(model, prefix, ROWS).last
        packed = run_packed(model, prefix, ROWS)
    torch.testing.assert_close(packed.last, expected, atol=2e-5, rtol=1e-4)
    assert packed.tree.shape == (4, 0, expected.shape[1])


def test_packing_pays_for_short_rows_of_different_lengths_or_a_shared_prefix(tiny_base: Path) -> None:
    model = load_base(str(tiny_base), device="cpu", dtype="float32").model
    for share in (True, False):
        with torch.inference_mode():
            prefix = run_prefix(model, PREFIX, share=share)
        assert pays_to_pack(prefix, ROWS)
        assert pays_to_pack(prefix, [[1], [2]]) == share, "rows of one length have no padding"
        assert not pays_to_pack(prefix, ROWS[:1])
        assert pays_to_pack(prefix, [[1], [1] * 250]) == share, "a shared prefix does not lengthen the rows"
        assert not pays_to_pack(prefix, [[1], [1] * 300]), "the fused kernel omits half of a long row's products"


@pytest.mark.parametrize("share", [True, False], ids=["shared prefix", "prefix in each row"])
@pytest.mark.parametrize("kind", list(decoder_configs(600)))
def test_a_tree_after_each_row_is_read_as_its_paths_are(tmp_path: Path, tokenizer: Any, kind: str, share: bool) -> None:
    model, tree = model_of(tmp_path / "base", tokenizer, kind), TokenTree([7, 8, 9, 8], [-1, 0, 1, -1])
    with torch.inference_mode():
        states = run_rows_with_tree(model, run_prefix(model, PREFIX, share=share), ROWS, tree)
        for number, row in enumerate(ROWS):
            for path, state in zip([[], *tree.paths()], [states.last, *states.tree.unbind(1)], strict=True):
                whole = torch.tensor([[*PREFIX, *row, *path]])
                expected = decoder_of(model)(input_ids=whole, use_cache=False).last_hidden_state[0, -1]
                torch.testing.assert_close(state[number], expected, atol=5e-5, rtol=1e-3)
