"""The decoder of the GPU benchmark computes what transformers, PEFT and the package's loss compute."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from graphed_lora import LoraLlama, Steps, label_loss, load_weights, save_factors

from helpers.tiny_models import save_base, tiny_config
from subjectwise.models.base_model import load_base

CPU = torch.device("cpu")
ROWS = [np.array([5, 9, 12, 7]), np.array([3, 3, 8, 20, 31, 2]), np.array([40])]
LABELS = torch.tensor([11, 12, 13])


def model_of(folder: Path, rank: int = 3) -> LoraLlama:
    weights, config = load_weights(load_base(str(folder), device="cpu", dtype="float32").model, CPU)
    model = LoraLlama(weights, config, rank, 2.0 * rank)
    model.set_factors(model.fresh(1))
    return model


def test_logits_are_those_of_transformers(tmp_path: Path, tokenizer: Any) -> None:
    base = save_base(tmp_path / "base", tiny_config(len(tokenizer)), tokenizer)
    model, reference = model_of(base), load_base(str(base), device="cpu", dtype="float32").model
    for row in ROWS:
        ids = torch.from_numpy(row)[None]
        with torch.no_grad():
            expected = reference(input_ids=ids).logits[0, -1]
            assert torch.allclose(model.last_logits(ids, torch.tensor([len(row) - 1]))[0], expected, atol=1e-4)


def test_a_saved_adapter_answers_as_the_trained_one(tmp_path: Path, tokenizer: Any) -> None:
    base = save_base(tmp_path / "base", tiny_config(len(tokenizer)), tokenizer)
    model = model_of(base)
    steps = Steps(model, 4, 3, label_loss(LABELS))
    targets = np.eye(3, dtype=np.float32)
    for _ in range(5):
        steps.run(ROWS, targets, np.ones(3, np.float32), 1e-2)
    first = float(steps.total_loss)
    for _ in range(5):
        steps.run(ROWS, targets, np.ones(3, np.float32), 1e-2)
    assert float(steps.total_loss) - first < first, "the loss falls"

    save_factors(model.factors(), tmp_path / "adapter_model.safetensors")
    weights, config = load_weights(load_base(str(base), device="cpu", dtype="float32").model, CPU)
    merged = {name: tensor.clone() for name, tensor in weights.items()}
    for layer, (a, b) in model.factors().items():
        merged[f"{layer}.weight"] += model.scale * b @ a
    plain = LoraLlama(merged, config, 3, 6.0)
    ids, last = torch.from_numpy(ROWS[1])[None], torch.tensor([5])
    with torch.no_grad():
        assert torch.allclose(plain.last_logits(ids, last), model.last_logits(ids, last), atol=1e-4)
        before = model_of(base).last_logits(ids, last)
    assert not torch.allclose(before, model.last_logits(ids, last), atol=1e-2)


def test_gradients_are_those_of_separate_layers(tmp_path: Path, tokenizer: Any) -> None:
    """Joined products share no weights: the zeros between the layers of a group stay zero."""
    base = save_base(tmp_path / "base", tiny_config(len(tokenizer)), tokenizer)
    model = model_of(base, rank=2)
    steps = Steps(model, 3, 3, label_loss(LABELS))
    steps.run(ROWS, np.eye(3, dtype=np.float32), np.ones(3, np.float32), 1e-2)
    assert torch.count_nonzero(model.adapter.weights[model.adapter.mask == 0]) == 0
    assert torch.count_nonzero(model.adapter.weights[model.adapter.mask == 1]) > 0
    restored = model_of(base, rank=2)
    restored.set_factors(model.factors())
    assert torch.allclose(restored.adapter.weights, model.adapter.weights, atol=1e-7)


def test_missing_rows_count_nothing(tmp_path: Path, tokenizer: Any) -> None:
    base = save_base(tmp_path / "base", tiny_config(len(tokenizer)), tokenizer)
    losses = []
    for size in (3, 8):
        steps = Steps(model_of(base), size, 3, label_loss(LABELS))
        steps.run(ROWS, np.eye(3, dtype=np.float32), np.ones(3, np.float32), 0.0)
        losses.append(float(steps.total_loss))
    assert abs(losses[0] - losses[1]) < 1e-5
