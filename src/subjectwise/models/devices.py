"""Devices and precisions by name."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch

from subjectwise.engines.engine import PYTORCH
from subjectwise.errors import BaseModelError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Compute:
    """What a model is run with.

    Attributes:
        device: `auto`, or a PyTorch device such as `cpu` or `cuda:0`.
        dtype: `auto`, `float32`, `bfloat16` or `float16`.
        engine: `pytorch`, or `openvino`, which is faster on a CPU and slower to start.
    """

    device: str = "auto"
    dtype: str = "auto"
    engine: str = PYTORCH


AUTO = Compute()


def choose_device(name: str = "auto") -> torch.device:
    """Return the named device, or the best available: CUDA (one per launched process), Apple's, then the CPU."""
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
    if name != "auto":
        if name not in DTYPES:
            raise BaseModelError(f"Unknown precision {name!r}; choose one of auto, {', '.join(DTYPES)}.")
        return DTYPES[name]
    if device.type == "cpu":
        has_bf16 = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        return torch.bfloat16 if has_bf16 else torch.float32
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    return torch.float16
