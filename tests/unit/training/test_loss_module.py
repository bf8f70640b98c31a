"""The trained weights, and no others, are written and read again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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


class TwoLayers(torch.nn.Module):
    """A frozen layer below one that is trained."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.frozen, self.trained = torch.nn.Linear(3, 3), torch.nn.Linear(3, 2)
        self.frozen.requires_grad_(False)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = self.trained(self.frozen(inputs))
        return outputs


@pytest.fixture
def model() -> Any:
    return TwoLayers()


def test_what_is_trained_is_written_and_read_again(tmp_path: Path, model: Any) -> None:
    save_trained_weights(model, tmp_path)
    assert set(load_file(tmp_path / TRAINED_WEIGHTS_FILE)) == {"trained.weight", "trained.bias"}
    kept = model.trained.weight.detach().clone()
    with torch.no_grad():
        model.trained.weight.zero_()
    load_trained_weights(model, tmp_path)
    assert torch.equal(model.trained.weight, kept)


def test_weights_of_another_model_are_refused(tmp_path: Path, model: Any) -> None:
    save_trained_weights(model, tmp_path)
    model.frozen.requires_grad_(True)
    with pytest.raises(OutputError, match="was left by a run of another model"):
        load_trained_weights(model, tmp_path)


def test_the_loss_is_computed_in_the_forward_pass(model: Any) -> None:
    def loss(model: Any, batch: Any) -> torch.Tensor:
        total: torch.Tensor = model(torch.tensor(batch)).sum()
        return total

    module = LossModule(model, loss)
    assert module([[1.0, 2.0, 3.0]]).item() == pytest.approx(loss(model, [[1.0, 2.0, 3.0]]).item())
    assert {name for name, weight in module.named_parameters() if weight.requires_grad} == {
        "model.trained.weight", "model.trained.bias",
    }  # fmt: skip
