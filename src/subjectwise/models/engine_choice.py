"""Which engine runs a base: OpenVINO on a CPU for the families that it knows, else PyTorch where it is installed."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

from subjectwise.engines.engine import AUTO_ENGINE, ENGINES, OPENVINO, PYTORCH
from subjectwise.errors import BaseModelError
from subjectwise.models.base_files import base_files
from subjectwise.models.compiled_base import unsupported_base
from subjectwise.models.devices import Compute, choose_device

TORCH_INSTALL = "pip install 'subjectwise[torch]'"

# Where a driver for GPUs of NVIDIA or AMD is: PyTorch, whose import is slow, is asked only then.
_GPU_DRIVERS = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")


def choose_engine(compute: Compute, base: str, revision: str | None = None, *, head: bool = False) -> str:
    """Return the engine for a base.

    Args:
        compute: device, precision and engine as they were asked for.
        base: as for `load_base`.
        revision: a commit, branch or tag on the Hub.
        head: whether the model is a classification head, which PyTorch alone runs.

    Raises:
        BaseModelError: an unknown engine, or none that is installed runs this base; the message says what to do.
    """
    if compute.engine not in (AUTO_ENGINE, *ENGINES):
        raise BaseModelError(f"Unknown engine {compute.engine!r}; choose one of {', '.join((AUTO_ENGINE, *ENGINES))}.")
    if compute.engine == OPENVINO:
        if compute.device not in ("auto", "cpu"):
            raise BaseModelError("The engine openvino is for CPUs; use --device cpu, or --engine pytorch.")
        if not _installed("openvino"):
            raise BaseModelError("OpenVINO is not installed; run: pip install openvino")
        return OPENVINO
    if compute.engine == PYTORCH or not _installed("openvino"):
        return _pytorch("This")
    if head:
        return _pytorch("A classification head")
    if compute.device != "cpu" and _is_accelerated(compute.device):
        return _pytorch(f"The device {compute.device}")
    reason = unsupported_base(base_files(base, revision))
    return _pytorch(f"The engine openvino cannot run {base} ({reason}), which") if reason else OPENVINO


def _pytorch(what: str) -> str:
    if not _installed("torch"):
        raise BaseModelError(f"{what} needs PyTorch, which is not installed; run: {TORCH_INSTALL}")
    return PYTORCH


def _is_accelerated(device: str) -> bool:
    """Return whether the device is not the CPU."""
    if device != "auto":
        return True
    likely = sys.platform in ("darwin", "win32") or any(Path(driver).exists() for driver in _GPU_DRIVERS)
    return likely and _installed("torch") and choose_device().type != "cpu"


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ValueError:  # blocked: its entry in sys.modules is None
        return False
