"""The trained weights, and no others, are written and read again."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from subjectwise.errors import OutputError
from subjectwise.training.loss_module import (
    TRAINED_WEIGHTS_FILE,
    LossModule,
    load_trained_weights,
    save_trained_weights,
)


def two_layers() -> torch.nn.Module:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 2))
    model[0].requires_grad_(False)
    return model


def test_what_is_trained_is_written_and_read_again(tmp_path: Path) -> None:
    model = two_layers()
    save_trained_weights(model, tmp_path)  # type: ignore[arg-type]
    assert set(load_file(tmp_path / TRAINED_WEIGHTS_FILE)) == {"1.weight", "1.bias"}
    kept = model[1].weight.detach().clone()
    with torch.no_grad():
        model[1].weight.zero_()
    load_trained_weights(model, tmp_path)  # type: ignore[arg-type]
    assert torch.equal(model[1].weight, kept)


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    model = two_layers()
    save_trained_weights(model, tmp_path)  # type: ignore[arg-type]
    model[0].requires_grad_(True)
    with pytest.raises(OutputError, match="was left by a run of another model"):
        load_trained_weights(model, tmp_path)  # type: ignore[arg-type]


def test_the_loss_is_computed_in_the_forward_pass() -> None:
    model = two_layers()
    module = LossModule(model, lambda model, batch: model(torch.tensor(batch)).sum())  # type: ignore[arg-type]
    loss = module([[1.0, 2.0, 3.0]])
    assert loss.item() == pytest.approx(model(torch.tensor([[1.0, 2.0, 3.0]])).sum().item())
    assert {name for name, weight in module.named_parameters() if weight.requires_grad} == {
        "model.1.weight", "model.1.bias",
    }  # fmt: skip
