"""What a training run cost: time, memory, and how much of the model was trained."""

from __future__ import annotations

import sys
from typing import Any

import torch


def training_cost(model: Any, seconds: float, resumed: bool) -> dict[str, Any]:
    """The figures that a model folder keeps of its training.

    Args:
        model: as it was trained, gradients on where they were.
        seconds: of this process; a run that was resumed took more.
    """
    if hasattr(model, "get_nb_trainable_parameters"):  # PEFT's knows how many are in a packed 4-bit weight
        trained, total = model.get_nb_trainable_parameters()
    else:
        total = sum(weight.numel() for weight in model.parameters())
        trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    return {
        "seconds": round(seconds, 1),
        "resumed": resumed,
        "device": model.device.type,
        "threads": torch.get_num_threads(),
        "peak_memory_bytes": peak_memory(model.device),
        "parameters": total,
        "trainable_parameters": trained,
    }


def peak_memory(device: torch.device) -> int | None:
    """The most memory held at once so far, in bytes: by tensors on a GPU, by this process elsewhere.

    None where the system does not say.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # Windows has no such module
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
