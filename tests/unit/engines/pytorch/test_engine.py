"""The engine's scores are those of the plain path: cached prefix, batches, padding, packing, labels of many tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from helpers.scoring import LABEL_SETS, prompted_base
from helpers.tiny_models import decoder_configs, save_base
from subjectwise.engines.label_trie import NO_TREE, TokenTree
from subjectwise.engines.pytorch.engine import PyTorchEngine
from subjectwise.engines.pytorch.forward import run_packed, run_prefix
from subjectwise.engines.pytorch.output_head import check_head
from subjectwise.labels import LabelSet
from subjectwise.models.base_model import load_base
from subjectwise.models.label_scores import score_rows


@pytest.mark.parametrize("labels", LABEL_SETS.values(), ids=LABEL_SETS.keys())
@pytest.mark.parametrize("style", ["plain", "bare"])
@pytest.mark.parametrize("kind", list(decoder_configs(600)))
def test_it_is_equal_to_the_plain_path(
    tmp_path: Path, tokenizer: Any, kind: str, style: str, labels: LabelSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save_base(tmp_path / "base", decoder_configs(len(tokenizer))[kind], tokenizer)
    base = prompted_base(folder, labels, style)
    check_head(base.model)
    engine = PyTorchEngine(base.model, base.prompt.prefix_ids)
    monkeypatch.setattr(PyTorchEngine, "tokens_per_batch", 1500)
    fast, plain = base.score(engine), base.plain_scores()
    np.testing.assert_allclose(fast.log_probs, plain.log_probs, atol=2e-4)
    np.testing.assert_allclose(fast.label_mass, plain.label_mass, rtol=2e-3)
    np.testing.assert_allclose(np.exp(fast.log_probs).sum(axis=1), 1)
    assert np.ptp(fast.log_probs, axis=0).max() > 0.01, "questions must differ for this to show anything"


def test_it_packs_where_it_can(tiny_base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = load_base(str(tiny_base), device="cpu", dtype="float32")
    rows, wanted, packed_runs = [[5, 6, 7], [8], [9, 10, 11]], [[1, 2]], []

    def spied(*arguments: Any) -> Any:
        packed_runs.append(arguments)
        return run_packed(*arguments)

    monkeypatch.setattr("subjectwise.engines.pytorch.engine.run_packed", spied)
    engine = PyTorchEngine(base.model, [])
    (packed,) = engine.token_log_probs(rows, NO_TREE, wanted)
    assert len(packed_runs) == 1
    # Another attention does not know packing, and is given padded rows.
    monkeypatch.setattr(
        "subjectwise.engines.pytorch.engine.prefer_grouped", lambda model: model.set_attn_implementation("sdpa")
    )
    fused = PyTorchEngine(base.model, [])
    (padded,) = fused.token_log_probs(rows, NO_TREE, wanted)
    assert len(packed_runs) == 1
    usual = fused.padding_limit(9, NO_TREE)
    assert usual < engine.padding_limit(9, NO_TREE), "packed rows have no padding"
    assert engine.padding_limit(300, NO_TREE) == engine.padding_limit(9, TokenTree([5], [-1])) == usual
    np.testing.assert_allclose(packed, padded, atol=2e-5, rtol=1e-4)


def test_the_cached_prefix_is_never_changed(tiny_base: Path) -> None:
    base = prompted_base(tiny_base, LABEL_SETS["shared starts"])
    engine = PyTorchEngine(base.model, base.prompt.prefix_ids)
    assert engine.prefix.layers is not None
    before = [(keys.clone(), values.clone()) for keys, values in engine.prefix.layers]
    np.testing.assert_array_equal(base.score(engine).log_probs, base.score(engine).log_probs)
    for (keys, values), (old_keys, old_values) in zip(engine.prefix.layers, before, strict=True):
        assert torch.equal(keys, old_keys) and torch.equal(values, old_values)


def test_a_batch_equals_its_questions_one_by_one(tiny_base: Path) -> None:
    base = prompted_base(tiny_base, LABEL_SETS["fourteen"])
    engine = PyTorchEngine(base.model, base.prompt.prefix_ids)
    single = np.concatenate([score_rows(engine, [row], base.trie).log_probs for row in base.rows])
    np.testing.assert_allclose(base.score(engine).log_probs, single, atol=1e-4)


def test_a_prefix_in_each_row_gives_the_same_scores(tiny_base: Path) -> None:
    base = prompted_base(tiny_base, LABEL_SETS["shared starts"])
    shared, apart = (PyTorchEngine(base.model, base.prompt.prefix_ids) for _ in range(2))
    apart.prefix = run_prefix(base.model, base.prompt.prefix_ids, share=False)
    np.testing.assert_allclose(base.score(shared).log_probs, base.score(apart).log_probs, atol=2e-4)
