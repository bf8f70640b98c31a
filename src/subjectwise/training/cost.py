"""The cost of a training run: time, memory, and how much of the model was trained."""

from __future__ import annotations

import sys

import torch

from subjectwise.types import JsonObject, LanguageModel


def training_cost(model: LanguageModel, seconds: float, resumed: bool) -> JsonObject:
    """Return what a model folder keeps of the cost of its training.

    Args:
        model: as it was trained, gradients enabled where they were.
        seconds: of this process; a run that was resumed took longer.
        resumed: whether it was.
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
    """Return the peak memory so far, in bytes: of tensors on a GPU, of this process elsewhere.

    None where the system does not say.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # Windows has no such module
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
