"""One adapter from several: the mean of what they add to their base, in fewer ranks.

Runs from the same base that differ in seed or recipe err apart, and the mean of their weights is often better than each
("model soups", arXiv 2203.05482). A mean of LoRA's two factors would not be the mean of their products; here it is:
the products are averaged exactly, and rounded to the wanted rank by their singular values.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from subjectwise.adapter import CONFIG_FILE as ADAPTER_CONFIG
from subjectwise.adapter import LORA_A, LORA_B, WEIGHTS_FILE, Adapter, read_adapter
from subjectwise.data.split import SplitFolder
from subjectwise.errors import ModelFolderError, OutputError
from subjectwise.files import new_folder, write_json
from subjectwise.model_folder import ModelConfig, read_config, write_config
from subjectwise.training.calibrate import calibrate

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
    adapters = [read_adapter(folder) for folder in models]
    rank = rank or max(int(adapter.config["r"]) for adapter in adapters)
    weights, kept = _mean(adapters, rank)
    with new_folder(output) as folder:
        shutil.copytree(models[0], folder, dirs_exist_ok=True)
        shutil.rmtree(folder / ".eval_results", ignore_errors=True)
        save_file(weights, folder / WEIGHTS_FILE, metadata={"format": "pt"})
        write_json(folder / ADAPTER_CONFIG, {**adapters[0].config, "r": rank, "lora_alpha": rank})
        results = {"average_of": _runs(configs), "rank": rank, "kept": kept}
        write_config(folder, replace(first, temperature=1.0, results=results))
        return calibrate(folder, data, device=device, dtype=dtype)


def _runs(configs: Sequence[ModelConfig]) -> list[dict[str, Any]]:
    """The training runs that went into the models, each once, with how many `times` it counts.

    A model that is a mean itself stands for the runs behind it.
    """
    members = [config.results.get("average_of") or [_run(config)] for config in configs]
    sizes = [sum(run.get("times", 1) for run in runs) for runs in members]
    found: dict[str, dict[str, Any]] = {}
    for runs, size in zip(members, sizes, strict=True):
        for run in runs:
            key = json.dumps({**run, "times": 1}, sort_keys=True)
            times = run.get("times", 1) * math.lcm(*sizes) // size
            found[key] = {**run, "times": times + found.get(key, {"times": 0})["times"]}
    shared = math.gcd(*(run["times"] for run in found.values()))
    return [{**run, "times": run["times"] // shared} for run in found.values()]


def _run(config: ModelConfig) -> dict[str, Any]:
    """What the new folder keeps of a run that went into it."""
    keys = ("best_epoch", "epochs", "cost", "also", "start", "validation")
    return {"recipe": config.recipe.to_dict(), **{key: config.results[key] for key in keys if key in config.results}}


def _mean(adapters: Sequence[Adapter], rank: int) -> tuple[dict[str, torch.Tensor], float]:
    """Factors of the mean of the adapters' products, in bfloat16, the scale within them.

    And the share of the squared singular values, over all layers, that the rounding to `rank` keeps.
    """
    names = adapters[0].factors.keys()
    if any(adapter.factors.keys() != names for adapter in adapters):
        raise ModelFolderError("The adapters change different layers and cannot be averaged.")
    found: dict[str, torch.Tensor] = {}
    whole = kept = 0.0
    for name in names:
        a = torch.cat([adapter.factors[name][0].float() for adapter in adapters])
        b = torch.cat([adapter.scale / len(adapters) * adapter.factors[name][1].float() for adapter in adapters], dim=1)
        (q_b, r_b), (q_a, r_a) = torch.linalg.qr(b), torch.linalg.qr(a.T)
        u, s, v = torch.linalg.svd(r_b @ r_a.T, full_matrices=False)  # of the product b a, by its small core
        whole, kept = whole + float(s.square().sum()), kept + float(s[:rank].square().sum())
        root = s[:rank].sqrt()
        missing = max(0, rank - len(root))  # a rank above that of the product is filled with zeros
        left = torch.nn.functional.pad(q_b @ u[:, :rank] * root, (0, missing))
        right = torch.nn.functional.pad(root[:, None] * (v[:rank] @ q_a.T), (0, 0, 0, missing))
        found[name + LORA_B], found[name + LORA_A] = (
            factor.to(torch.bfloat16).contiguous() for factor in (left, right)
        )
    return found, kept / whole if whole else 1.0
