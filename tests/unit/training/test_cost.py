"""What training cost is measured, and kept with the model."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file

from helpers.folders import read
from subjectwise.training.cost import peak_memory, training_cost


def test_the_parameters_with_gradients_are_counted() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 2))
    model[0].requires_grad_(False)
    model.device = torch.device("cpu")  # type: ignore[assignment]
    cost = training_cost(model, 1.23, resumed=True)  # type: ignore[arg-type]
    assert (cost["trainable_parameters"], cost["parameters"]) == (8, 20)
    assert cost["seconds"] == 1.2 and cost["resumed"] and cost["device"] == "cpu"
    assert peak_memory(torch.device("cpu")) == cost["peak_memory_bytes"]


def test_it_is_kept_with_the_model(tiny_model: Path) -> None:
    cost = read(tiny_model / "subjectwise.json")["results"]["cost"]
    adapter = load_file(tiny_model / "adapter_model.safetensors")
    assert cost["trainable_parameters"] == sum(tensor.numel() for tensor in adapter.values())
    assert cost["trainable_parameters"] < cost["parameters"]
    assert cost["peak_memory_bytes"] > 4 * cost["parameters"]
    assert cost["seconds"] > 0 and cost["device"] == "cpu" and not cost["resumed"]
    assert f"{cost['trainable_parameters']:,} of" in (tiny_model / "README.md").read_text()
