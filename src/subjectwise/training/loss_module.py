"""A model and its loss as one module, which is what the Trainer trains; and the weights that are trained, as a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from subjectwise.errors import OutputError
from subjectwise.types import LanguageModel

TRAINED_WEIGHTS_FILE = "trained.safetensors"


class LossModule(torch.nn.Module):
    """Returns the loss of a batch: DDP synchronises gradients only for calls through `forward`.

    Args:
        model: to train.
        loss: of the model and a batch of its rows.
    """

    def __init__(self, model: LanguageModel, loss: Callable[[LanguageModel, Sequence[Any]], Tensor]) -> None:
        super().__init__()
        self.model = model
        self._loss = loss

    def forward(self, batch: Sequence[Any]) -> Tensor:
        """Return the loss of `batch`."""
        return self._loss(self.model, batch)


def save_trained_weights(model: LanguageModel, folder: Path) -> None:
    """Write the weights that have gradients, in the precision that they are trained in."""
    from safetensors.torch import save_file

    weights = {name: weight.detach().cpu().contiguous() for name, weight in _trained(model).items()}
    save_file(weights, folder / TRAINED_WEIGHTS_FILE)


def load_trained_weights(model: LanguageModel, folder: Path) -> None:
    """Read what `save_trained_weights` wrote into the model; raise OutputError where it is of another run."""
    from safetensors.torch import load_file

    weights, trained = load_file(folder / TRAINED_WEIGHTS_FILE), _trained(model)
    shapes = [{name: tensor.shape for name, tensor in tensors.items()} for tensors in (weights, trained)]
    if shapes[0] != shapes[1]:
        raise OutputError(f"{folder} was left by a run of another model; remove it, or use another --output.")
    with torch.no_grad():
        for name, weight in trained.items():
            weight.copy_(weights[name])


def _trained(model: LanguageModel) -> dict[str, torch.nn.Parameter]:
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
