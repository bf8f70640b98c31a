"""LoRA adapters: reading, and merging into the base, W + alpha / r · B A (Hu et al. 2021). Knows arrays and names.

Answering needs no more than this of PEFT, whose import takes longer than the rest of a cold start; a test holds the
merged weights equal to PEFT's own. Reading needs no PyTorch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from subjectwise.errors import ModelFolderError
from subjectwise.types import Float32Array, JsonObject, LanguageModel
from subjectwise.utils.atomic_files import read_json
from subjectwise.utils.safetensors_arrays import array_readers

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"

_PREFIX = "base_model.model."
LORA_A, LORA_B = ".lora_A.weight", ".lora_B.weight"

# What a plain adapter has switched off; servers that scale by alpha / r alone ignore these silently.
_OTHER_KINDS = ("use_dora", "use_rslora", "rank_pattern", "alpha_pattern", "lora_bias", "use_qalora")


@dataclass(frozen=True)
class Adapter:
    """A plain LoRA adapter as it is on disk.

    Attributes:
        config: PEFT's.
        scale: alpha / r.
        factors: A [r, in] and B [out, r] of each layer in float32, by the layer's name.
        head: weights of a classification head saved with them, by name; None for one that is missing.
    """

    config: JsonObject
    scale: float
    factors: dict[str, tuple[Float32Array, Float32Array]]
    head: dict[str, Float32Array | None]


def read_adapter(folder: Path, head: Sequence[str] = ()) -> Adapter:
    """Read the adapter in `folder`, and of the weights saved with it those named by `head`.

    Raises:
        ModelFolderError: it is not plain LoRA, or is damaged.
    """
    config = read_json(folder / CONFIG_FILE, ModelFolderError)
    if config.get("peft_type") != "LORA" or any(config.get(key) for key in _OTHER_KINDS):
        raise ModelFolderError(f"The adapter in {folder} is not plain LoRA; train it without such settings.")
    if config.get("modules_to_save") and not head:
        raise ModelFolderError(f"The adapter in {folder} has a classification head; load it as a head.")
    try:
        scale = float(config["lora_alpha"]) / int(config["r"])
        tensors = {name: read() for name, read in array_readers(folder / WEIGHTS_FILE).items()}
    except (OSError, KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise ModelFolderError(f"The adapter in {folder} is damaged: {' '.join(str(error).split())[:200]}") from error
    saved_head = {name: tensors.pop(_PREFIX + name, None) for name in head}
    names = sorted({name.removesuffix(LORA_A).removesuffix(LORA_B) for name in tensors})
    if not names or set(tensors) != {name + end for name in names for end in (LORA_A, LORA_B)}:
        raise ModelFolderError(f"The adapter in {folder} is damaged: its weights are not pairs of lora_A and lora_B.")
    factors = {name: (tensors[name + LORA_A], tensors[name + LORA_B]) for name in names}
    return Adapter(config, scale, factors, saved_head)


def weight_changes(adapter: Adapter) -> dict[str, tuple[Float32Array, Float32Array, float]]:
    """Return A, B and their scale by the name that the base has for the weight which B A is added to."""
    return {f"{name.removeprefix(_PREFIX)}.weight": (a, b, adapter.scale) for name, (a, b) in adapter.factors.items()}


def merge_adapter(model: LanguageModel, folder: Path, head: Sequence[str] = ()) -> None:
    """Add the adapter in `folder` to the weights of `model`, in place, in float32 before rounding to their precision.

    Args:
        model: the base.
        folder: of the adapter.
        head: names of the weights of the model's classification head, which the adapter's file then has as well.

    Raises:
        ModelFolderError: it is not plain LoRA, is damaged, or does not fit the model.
    """
    import torch

    adapter = read_adapter(folder, head)
    for name, (a, b) in adapter.factors.items():
        try:
            weight = model.get_submodule(name.removeprefix(_PREFIX)).weight
            left, right = (torch.from_numpy(factor).to(weight.device) for factor in (b, a))
            with torch.no_grad():
                weight.copy_(weight.float() + adapter.scale * (left @ right))  # [out, in]
        except (AttributeError, KeyError, RuntimeError) as error:
            text = " ".join(str(error).split())[:200]
            raise ModelFolderError(f"The adapter in {folder} does not fit its base at {name}: {text}") from error
    for name, tensor in adapter.head.items():
        weight = model.get_parameter(name)
        if tensor is None or tensor.shape != weight.shape:
            raise ModelFolderError(
                f"The adapter in {folder} lacks a head for this base: {name} is missing or of another shape."
            )
        with torch.no_grad():
            weight.copy_(torch.from_numpy(tensor))
