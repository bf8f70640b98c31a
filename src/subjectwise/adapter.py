"""Merges a plain LoRA adapter into its base (Hu et al. 2021): W + alpha / r · B A. Knows tensors and their names.

Answering needs no more than this of PEFT, whose import takes longer than all else of a cold start; a test holds the
merged weights equal to PEFT's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from subjectwise.errors import ModelFolderError
from subjectwise.files import read_json

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"

_PREFIX = "base_model.model."
_A, _B = ".lora_A.weight", ".lora_B.weight"

# What a plain adapter has switched off; servers that scale by alpha / r alone ignore these without a word.
_OTHER_KINDS = ("use_dora", "use_rslora", "rank_pattern", "alpha_pattern", "lora_bias", "use_qalora")


def merge_adapter(model: Any, folder: Path, head: Sequence[str] = ()) -> None:
    """Adds the adapter in `folder` to the weights of `model`, in place, in float32 before rounding to their precision.

    Args:
        head: names of the weights of the model's classification head, which the adapter's file then holds as they are.

    Raises:
        ModelFolderError: it is not plain LoRA, is damaged, or does not fit the model.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    config = read_json(folder / CONFIG_FILE, ModelFolderError)
    if config.get("peft_type") != "LORA" or any(config.get(key) for key in _OTHER_KINDS):
        raise ModelFolderError(f"{folder} holds an adapter that is not plain LoRA; train it without such settings.")
    if config.get("modules_to_save") and not head:
        raise ModelFolderError(f"{folder} holds a classification head, and not an adapter alone; load it as a head.")
    try:
        scale = float(config["lora_alpha"]) / int(config["r"])
        tensors = load_file(folder / WEIGHTS_FILE)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise ModelFolderError(f"The adapter in {folder} is damaged: {' '.join(str(error).split())[:200]}") from error
    whole = {name: tensors.pop(_PREFIX + name, None) for name in head}
    names = {name.removesuffix(_A).removesuffix(_B) for name in tensors}
    if not names or len(tensors) != 2 * len(names):
        raise ModelFolderError(f"The adapter in {folder} is damaged: it is not made of pairs of lora_A and lora_B.")
    for name in sorted(names):
        try:
            weight = model.get_submodule(name.removeprefix(_PREFIX)).weight
            a, b = tensors[name + _A].to(weight.device).float(), tensors[name + _B].to(weight.device).float()
            with torch.no_grad():
                weight.copy_(weight.float() + scale * (b @ a))  # [out, in]
        except (AttributeError, KeyError, RuntimeError) as error:
            text = " ".join(str(error).split())[:200]
            raise ModelFolderError(f"The adapter in {folder} does not fit its base at {name}: {text}") from error
    for name, tensor in whole.items():
        weight = model.get_parameter(name)
        if tensor is None or tensor.shape != weight.shape:
            raise ModelFolderError(f"The adapter in {folder} has no head that fits its base: {name} is not as it was.")
        with torch.no_grad():
            weight.copy_(tensor)
