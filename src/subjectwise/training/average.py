"""One adapter from several: the mean of what they add to their base, rounded to a lower rank.

Runs on the same base that differ in seed or recipe make different errors, and the mean of their weights is often better
than each ("model soups", Wortsman et al. 2022). A mean of LoRA's two factors would not be the mean of their products;
here the products are averaged exactly, and rounded to the wanted rank by their singular values.
"""

from __future__ import annotations

import json
import math
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file

from subjectwise.data.split import SplitFolder
from subjectwise.errors import ModelFolderError
from subjectwise.models.devices import AUTO, Compute
from subjectwise.models.lora import CONFIG_FILE as ADAPTER_CONFIG
from subjectwise.models.lora import LORA_A, LORA_B, WEIGHTS_FILE, Adapter, read_adapter
from subjectwise.models.model_config import ModelConfig, read_config, write_config
from subjectwise.training.calibrate_model import calibrate
from subjectwise.types import JsonObject
from subjectwise.utils.atomic_files import check_new, new_folder, write_json

# A [r, in] and B [out, r] of each layer, by its name.
Factors = Mapping[str, tuple[torch.Tensor, torch.Tensor]]

_SAME = ("labels", "prefix", "manifest_sha256")


def average(
    models: Sequence[Path],
    data: SplitFolder,
    output: Path,
    *,
    rank: int = 0,
    other_rows: bool = False,
    compute: Compute = AUTO,
) -> ModelConfig:
    """Average the adapters of model folders into a new one and calibrate it on the validation rows of `data`.

    Args:
        models: folders on one base, with the same labels, prompt and split; the first one's prompt settings are kept.
        data: the split folder that they were trained on.
        output: a new path.
        rank: of the new adapter; 0 for the largest of the given ones.
        other_rows: whether models may have been trained on another split, such as the one that training started from.
            None may have been trained on the validation rows of `data`, which is not checked.
        compute: device and precision.

    Raises:
        ModelFolderError: the folders do not belong together, or are not adapters for scored labels.
        OutputError: `output` exists.
        DataError: `data` has other labels.
    """
    if len(models) < 2:
        raise ModelFolderError("Cannot average fewer than two models.")
    check_new(output)
    configs = [read_config(folder) for folder in models]
    first = configs[0]
    for folder, config in zip(models, configs, strict=True):
        if config.head.used:
            raise ModelFolderError(f"Cannot average {folder}: it has a classification head, not an adapter alone.")
        same = [name for name in _SAME if not (other_rows and name == "manifest_sha256")]
        other = [name for name in same if getattr(config, name) != getattr(first, name)]
        if _base_identity(config) != _base_identity(first):
            other.append("base")
        if other:
            raise ModelFolderError(f"Cannot average {folder} and {models[0]}: they differ in {', '.join(other)}.")
    times = Counter(models)  # a folder that is named more than once counts as often
    adapters = [read_adapter(folder) for folder in times]
    rank = rank or max(int(adapter.config["r"]) for adapter in adapters)
    shares = [count * adapter.scale / len(models) for adapter, count in zip(adapters, times.values(), strict=True)]
    mean, kept = mean_factors([factors_of(adapter) for adapter in adapters], shares, rank)
    weights = {
        name + part: factor.to(torch.bfloat16).contiguous()
        for name, pair in mean.items()
        for part, factor in zip((LORA_A, LORA_B), pair, strict=True)
    }
    with new_folder(output) as folder:
        shutil.copytree(models[0], folder, dirs_exist_ok=True)
        shutil.rmtree(folder / ".eval_results", ignore_errors=True)
        save_file(weights, folder / WEIGHTS_FILE, metadata={"format": "pt"})
        write_json(folder / ADAPTER_CONFIG, {**adapters[0].config, "r": rank, "lora_alpha": rank})
        results = {"average_of": _runs(configs), "rank": rank, "kept": kept}
        write_config(folder, replace(first, temperature=1.0, results=results))
        return calibrate(folder, data, compute=compute)


def factors_of(adapter: Adapter) -> Factors:
    """Return an adapter's factors as tensors."""
    return {name: (torch.from_numpy(a), torch.from_numpy(b)) for name, (a, b) in adapter.factors.items()}


def _base_identity(config: ModelConfig) -> tuple[str, str]:
    """Return what tells bases apart: the hash of the weights, or name and revision on the Hub."""
    return (config.base.sha256, "") if config.base.sha256 else (config.base.name, config.base.revision)


def _runs(configs: Sequence[ModelConfig]) -> list[JsonObject]:
    """Return the training runs that went into the models, each once, with how many `times` it counts.

    A model that is a mean itself counts as the runs behind it.
    """
    members = [config.results.get("average_of") or [_run(config)] for config in configs]
    sizes = [sum(run.get("times", 1) for run in runs) for runs in members]
    counted: dict[str, JsonObject] = {}
    for runs, size in zip(members, sizes, strict=True):
        for run in runs:
            key = json.dumps({**run, "times": 1}, sort_keys=True)
            times = run.get("times", 1) * math.lcm(*sizes) // size
            counted[key] = {**run, "times": times + counted.get(key, {"times": 0})["times"]}
    shared = math.gcd(*(run["times"] for run in counted.values()))
    return [{**run, "times": run["times"] // shared} for run in counted.values()]


def _run(config: ModelConfig) -> JsonObject:
    """Return what the new folder keeps of a run that went into it."""
    keys = ("best_epoch", "epochs", "cost", "also", "start", "validation")
    return {"recipe": config.recipe, **{key: config.results[key] for key in keys if key in config.results}}


def mean_factors(
    adapters: Sequence[Factors], shares: Sequence[float], rank: int
) -> tuple[dict[str, tuple[torch.Tensor, torch.Tensor]], float]:
    """Return factors of the weighted mean of the adapters' products, rounded to `rank`.

    And the share of the squared singular values, over all layers, that the rounding keeps.

    Args:
        adapters: A [r, in] and B [out, r] of each layer, by its name; ranks may differ.
        shares: what each product counts, the adapter's scale within it.
        rank: of the result, whose scale is 1; a rank above that of the mean is filled with zeros.

    Raises:
        ModelFolderError: the adapters are of different layers.
    """
    names = adapters[0].keys()
    if any(factors.keys() != names for factors in adapters):
        raise ModelFolderError("Cannot average adapters of different layers.")
    mean: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
    whole = kept = 0.0
    for name in names:
        a = torch.cat([factors[name][0] for factors in adapters])
        b = torch.cat([share * factors[name][1] for factors, share in zip(adapters, shares, strict=True)], 1)
        (q_b, r_b), (q_a, r_a) = torch.linalg.qr(b), torch.linalg.qr(a.T)
        u, s, v = torch.linalg.svd(r_b @ r_a.T, full_matrices=False)  # of the product b a, by its small core
        whole, kept = whole + float(s.square().sum()), kept + float(s[:rank].square().sum())
        root = s[:rank].sqrt()
        missing = max(0, rank - len(root))
        right = torch.nn.functional.pad(root[:, None] * (v[:rank] @ q_a.T), (0, 0, 0, missing))
        left = torch.nn.functional.pad(q_b @ u[:, :rank] * root, (0, missing))
        mean[name] = right, left
    return mean, kept / whole if whole else 1.0
