"""One adapter from several: the mean of what they add to their base, in fewer ranks.

Runs from the same base that differ in seed or recipe err apart, and the mean of their weights is often better than each
("model soups", arXiv 2203.05482). A mean of LoRA's two factors would not be the mean of their products; here it is:
the products are averaged exactly, and rounded to the wanted rank by their singular values.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from subjectwise.adapter import CONFIG_FILE as ADAPTER_CONFIG
from subjectwise.adapter import WEIGHTS_FILE
from subjectwise.data.split import SplitFolder
from subjectwise.errors import ModelFolderError, OutputError
from subjectwise.files import new_folder, read_json, write_json
from subjectwise.model_folder import ModelConfig, read_config, write_config
from subjectwise.training.calibrate import calibrate

_A, _B = ".lora_A.weight", ".lora_B.weight"
_SAME = ("labels", "prefix", "manifest_sha256")


def average(
    models: Sequence[Path], data: SplitFolder, output: Path, *, rank: int = 0, device: str = "auto", dtype: str = "auto"
) -> ModelConfig:
    """Averages the adapters of model folders into a new one and calibrates it on the validation rows of `data`.

    Args:
        models: folders on one base, with the same labels, prompt and split; the first one's prompt settings are kept.
        rank: of the new adapter; 0 for the largest of the given ones.

    Raises:
        ModelFolderError: the folders do not belong together, or are not adapters for scored labels.
        OutputError: `output` exists.
        DataError: `data` has other labels.
    """
    if len(models) < 2:
        raise ModelFolderError("Give two models at least to average.")
    if output.exists():
        raise OutputError(f"{output} exists already; choose another place, or remove it first.")
    configs = [read_config(folder) for folder in models]
    first = configs[0]
    for folder, config in zip(models, configs, strict=True):
        if config.head.used:
            raise ModelFolderError(
                f"{folder} holds a classification head; only adapters for scored labels are averaged."
            )
        other = [name for name in _SAME if getattr(config, name) != getattr(first, name)]
        if (config.base.name, config.base.sha256) != (first.base.name, first.base.sha256):
            other.append("base")
        if other:
            raise ModelFolderError(
                f"{folder} and {models[0]} do not belong together; they differ in {', '.join(other)}."
            )
    adapters = [read_json(folder / ADAPTER_CONFIG, ModelFolderError) for folder in models]
    rank = rank or max(int(adapter["r"]) for adapter in adapters)
    with new_folder(output) as folder:
        shutil.copytree(models[0], folder, dirs_exist_ok=True)
        shutil.rmtree(folder / ".eval_results", ignore_errors=True)
        save_file(_mean(models, adapters, rank), folder / WEIGHTS_FILE, metadata={"format": "pt"})
        write_json(folder / ADAPTER_CONFIG, {**adapters[0], "r": rank, "lora_alpha": rank})
        runs = [_run(config) for config in configs]
        write_config(folder, replace(first, temperature=1.0, results={"average_of": runs, "rank": rank}))
        return calibrate(folder, data, device=device, dtype=dtype)


def _run(config: ModelConfig) -> dict[str, Any]:
    """What the new folder keeps of one that went into it."""
    kept = {key: config.results[key] for key in ("best_epoch", "epochs", "also", "validation") if key in config.results}
    return {"recipe": config.recipe.to_dict(), **kept}


def _mean(models: Sequence[Path], adapters: Sequence[dict[str, Any]], rank: int) -> dict[str, torch.Tensor]:
    """Factors of the mean of the adapters' products, in bfloat16, the scale within them."""
    weights = [load_file(folder / WEIGHTS_FILE) for folder in models]
    names = sorted(name.removesuffix(_A) for name in weights[0] if name.endswith(_A))
    if any(sorted(name.removesuffix(_A) for name in held if name.endswith(_A)) != names for held in weights):
        raise ModelFolderError("The adapters change different layers and cannot be averaged.")
    scales = [float(adapter["lora_alpha"]) / int(adapter["r"]) / len(models) for adapter in adapters]
    found: dict[str, torch.Tensor] = {}
    for name in names:
        b = torch.cat([scale * held[name + _B].float() for scale, held in zip(scales, weights, strict=True)], dim=1)
        a = torch.cat([held[name + _A].float() for held in weights])
        (q_b, r_b), (q_a, r_a) = torch.linalg.qr(b), torch.linalg.qr(a.T)
        u, s, v = torch.linalg.svd(r_b @ r_a.T)  # of the product b a, by its small core
        root = s[:rank].sqrt()
        found[name + _B] = (q_b @ u[:, :rank] * root).to(torch.bfloat16).contiguous()
        found[name + _A] = (root[:, None] * (v[:rank] @ q_a.T)).to(torch.bfloat16).contiguous()
    return found
