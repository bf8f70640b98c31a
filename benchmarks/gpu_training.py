"""Train adapters of the embedded base on a mixture on one GPU, minutes each: the first stage of the shipped adapter.

    python benchmarks/gpu_training.py --data mix --from shipped --seeds 1 2 3 4 --output runs

`subjectwise train` does the same on any base and machine; here a step is one CUDA graph (`graphed_lora`). Each run is
written as a model folder, calibrated on the validation rows; `subjectwise average` then makes one of them.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from graphed_lora import Factors, LoraLlama, Steps, label_loss, load_weights, save_factors

from subjectwise.data.split import SplitFolder, open_split
from subjectwise.engines.label_trie import LabelTrie
from subjectwise.errors import ModelFolderError
from subjectwise.models.base_model import load_base
from subjectwise.models.lora import CONFIG_FILE, WEIGHTS_FILE, read_adapter
from subjectwise.models.model_config import read_config, write_config
from subjectwise.models.model_folder import shipped_folder
from subjectwise.recipe import Recipe, load_recipe
from subjectwise.text.prompt import Prompt
from subjectwise.training.batch_order import LengthBatches
from subjectwise.training.calibrate_model import calibrate
from subjectwise.training.select_rows import row_weights, usable_rows
from subjectwise.training.train import NOISY_SHARE
from subjectwise.training.training_rows import LabelRows
from subjectwise.utils.atomic_files import read_json, write_json


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a split folder of 'subjectwise data mix'")
    parser.add_argument(
        "--from", dest="start", default="shipped", help="a model folder whose adapter is trained further"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--recipe", default="embedded")
    parser.add_argument("--set", dest="settings", action="append", default=[], help="as of 'subjectwise train'")
    parser.add_argument("--output", type=Path, required=True, help="a folder for the model folders")
    arguments = parser.parse_args()
    stage = [
        "training.epochs=5",
        "training.learning_rate=1.2e-3",
        "training.batch_size=128",
        "training.option_halves=1",
    ]
    recipe = load_recipe(arguments.recipe, [*stage, *arguments.settings])
    start = shipped_folder() if arguments.start == "shipped" else Path(arguments.start)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    data = open_split(arguments.data)
    base = load_base(recipe.base, device="cpu", dtype="float32")
    exported = arguments.output / "base"
    base.model.save_pretrained(exported)
    weights, config = load_weights(exported, device)
    shutil.rmtree(exported)
    model = LoraLlama(weights, config, recipe.lora.r, recipe.lora.alpha)
    prompt = Prompt(base.tokenizer, data.labels, recipe.prompt)
    for seed in arguments.seeds:
        run = replace(recipe, training=replace(recipe.training, seed=seed))
        begun = time.monotonic()
        train(model, run, data, prompt, padded_factors(model, start, seed))
        folder = arguments.output / f"seed{seed}"
        write_model(folder, start, model.factors(), run, data, prompt)
        fitted = calibrate(folder, data, base=recipe.base)
        seconds = time.monotonic() - begun
        print(json.dumps({"folder": str(folder), "seconds": round(seconds, 1), **fitted.results["validation"]}))


def padded_factors(model: LoraLlama, folder: Path, seed: int) -> Factors:
    """Return the adapter of `folder` at the model's rank, what is missing drawn as PEFT draws it."""
    adapter, factors = read_adapter(folder), model.fresh(seed)
    for name, (a, b) in adapter.factors.items():
        first, second = factors[name.removeprefix("base_model.model.")]
        first[: len(a)] = torch.from_numpy(a)
        second[:, : len(a)] = torch.from_numpy(b) * (adapter.scale / model.scale)
    return factors


def train(model: LoraLlama, recipe: Recipe, data: SplitFolder, prompt: Prompt, start: Factors) -> None:
    """Train on all rows of the mixture, in the batches and with the targets of `subjectwise train`."""
    settings = recipe.training
    examples = usable_rows(data.examples("train"), recipe, data.labels.names)
    trie = LabelTrie(prompt.answer_ids, prompt.end_ids)
    if any(len(path) > 1 for path in trie.paths):
        raise SystemExit("Each label must have a first token of its own on this base.")
    tokens = [path[0] for path in trie.paths]
    rows = LabelRows(examples, prompt, trie, settings)
    noise = 0.0 if settings.augment == "none" else NOISY_SHARE
    batches = LengthBatches(
        rows.lengths, settings.batch_size, settings.options_share, settings.seed, noise,
        weights=row_weights(examples, data),
    )  # fmt: skip
    label_tokens = torch.tensor(tokens, device=model.adapter.weights.device)
    steps = Steps(model, settings.batch_size, len(tokens), label_loss(label_tokens), settings.max_grad_norm)
    model.set_factors(start)
    total = len(batches) * settings.epochs
    warm, step = max(1, int(settings.warmup * total)), 0
    for epoch in range(settings.epochs):
        batches.set_epoch(epoch)
        for batch in batches:
            items = [rows[view] for view in batch]
            ids = [np.array([*prompt.prefix_ids, *item.ids]) for item in items]
            targets = np.stack([_distribution(item.shares[0], tokens, settings.label_smoothing) for item in items])
            rate = min(1.0, (step + 1) / warm) if step < warm else _cosine((step - warm) / max(1, total - warm))
            steps.run(ids, targets, np.ones(len(items), np.float32), settings.learning_rate * rate)
            step += 1


def _cosine(progress: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def _distribution(shares: Mapping[int, float], tokens: list[int], smoothing: float) -> npt.NDArray[np.float32]:
    target = np.array([shares.get(token, 0.0) for token in tokens])
    return ((1 - smoothing) * target + smoothing / len(tokens)).astype(np.float32)


def write_model(folder: Path, start: Path, factors: Factors, recipe: Recipe, data: SplitFolder, prompt: Prompt) -> None:
    """Write a model folder with these weights; everything but the adapter and its settings is that of `start`."""
    shutil.copytree(start, folder, ignore=shutil.ignore_patterns(".eval_results", "sentences"))
    save_factors(factors, folder / WEIGHTS_FILE)
    adapter = read_json(folder / CONFIG_FILE, ModelFolderError)
    write_json(folder / CONFIG_FILE, {**adapter, "r": recipe.lora.r, "lora_alpha": recipe.lora.alpha})
    config = replace(
        read_config(folder), prompt=recipe.prompt, prefix=prompt.prefix, labels=data.labels, temperature=1.0,
        recipe=recipe.to_dict(), manifest_sha256=data.manifest_sha256, thresholds={}, words={}, scope=None,
        results={"start": {"sha256": read_config(start).manifest_sha256}},
    )  # fmt: skip
    write_config(folder, config)


if __name__ == "__main__":
    main()
