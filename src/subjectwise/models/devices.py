"""Devices and precisions by name. PyTorch is imported where a device of its own is asked for."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from subjectwise.engines.engine import AUTO_ENGINE
from subjectwise.errors import BaseModelError

if TYPE_CHECKING:
    import torch

DTYPES = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class Compute:
    """What a model is run with.

    Attributes:
        device: `auto`, or a PyTorch device such as `cpu` or `cuda:0`.
        dtype: `auto`, `float32`, `bfloat16` or `float16`.
        engine: `auto` (OpenVINO on a CPU for the families that it knows, else PyTorch), `openvino` or `pytorch`.
    """

    device: str = "auto"
    dtype: str = "auto"
    engine: str = AUTO_ENGINE


AUTO = Compute()


def choose_device(name: str = "auto") -> torch.device:
    """Return the named device, or the best available: CUDA (one per launched process), Apple's, then the CPU."""
    import torch

    if name == "auto" and torch.cuda.is_available():
        name = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    elif name == "auto":
        name = "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise BaseModelError(f"Device {name!r} is not available; use --device cpu or auto.") from error
    return device


def choose_dtype(device: torch.device, name: str = "auto") -> torch.dtype:
    """Return the named precision, or bfloat16 where the processor computes in it, else float32 (float16 on GPUs)."""
    import torch

    if name != "auto":
        if name not in DTYPES:
            raise BaseModelError(f"Unknown precision {name!r}; choose one of auto, {', '.join(DTYPES)}.")
        dtype: torch.dtype = getattr(torch, name)
        return dtype
    if device.type == "cpu":
        has_bf16 = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        return torch.bfloat16 if has_bf16 else torch.float32
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    return torch.float16
