"""Train adapters of the embedded base on a mixture on one GPU, minutes each: the first stage of the shipped adapter.

    python benchmarks/gpu_training.py --data mix --from MODEL --seeds 1 2 3 4 --mean-with MODEL --output runs

`subjectwise train` does the same on any base and machine; here a step is one CUDA graph (`graphed_lora`). Each run is
written as a model folder, and so is their mean, rounded to the recipe's rank. All are measured on the validation rows
of each kind, as are means with a share of other adapters; OUTPUT/runs.json has the figures. `subjectwise calibrate`
makes a model of the one that is best.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from graphed_lora import Factors, LoraLlama, Steps, label_loss, load_weights, save_factors

from subjectwise.data.split import SplitFolder, open_split
from subjectwise.engines.label_trie import LabelTrie
from subjectwise.errors import ModelFolderError
from subjectwise.models.base_model import load_base
from subjectwise.models.label_scores import normalise
from subjectwise.models.lora import CONFIG_FILE, WEIGHTS_FILE, read_adapter
from subjectwise.models.model_config import read_config, write_config
from subjectwise.models.model_folder import shipped_folder
from subjectwise.recipe import Recipe, load_recipe
from subjectwise.records import Example, show_options
from subjectwise.statistics.fair_labels import class_indices, fair_labels
from subjectwise.text.prompt import Prompt
from subjectwise.training.average import mean_factors
from subjectwise.training.batch_order import LengthBatches
from subjectwise.training.checkpoints import start_identity
from subjectwise.training.select_rows import row_weights, usable_rows
from subjectwise.training.train import NOISY_SHARE
from subjectwise.training.training_rows import LabelRows
from subjectwise.training.validation import ValidationScores, measure_epoch
from subjectwise.types import JsonObject
from subjectwise.utils.atomic_files import read_json, write_json

# What a GPU has the time for, and an hour on a CPU has not.
STAGE = (
    "training.epochs=3",
    "training.learning_rate=1.2e-3",
    "training.batch_size=128",
    "training.option_halves=1",
    "training.augment=noise",
)

# Shares of another adapter in a mean with the runs.
SHARES = (0.15, 0.3)

_PREFIX = "base_model.model."
_ROWS_OF_A_BATCH = 256


@dataclass
class Work:
    """What all runs share.

    Attributes:
        model: the base with an adapter, on the device.
        steps: of training.
        recipe: of the runs, but for the seed.
        data: the mixture.
        prompt: of the recipe.
        tokens: the first token of each answer.
        rows: the training rows.
        examples: likewise.
        validation: the rows that choose.
        validation_ids: of their questions without options.
    """

    model: LoraLlama
    steps: Steps
    recipe: Recipe
    data: SplitFolder
    prompt: Prompt
    tokens: list[int]
    rows: LabelRows
    examples: list[Example]
    validation: list[Example]
    validation_ids: list[list[int]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a split folder of 'subjectwise data mix'")
    parser.add_argument("--from", dest="start", help="a model folder whose adapter is trained further; 'shipped'")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--minutes", type=float, default=60, help="no run is begun that would end later")
    parser.add_argument("--mean-with", type=Path, nargs="*", default=[], help="model folders to average with the runs")
    parser.add_argument("--recipe", default="embedded")
    parser.add_argument("--set", dest="settings", action="append", default=[], help="as of 'subjectwise train'")
    parser.add_argument("--output", type=Path, required=True, help="a folder for the model folders")
    arguments = parser.parse_args()
    begun = time.monotonic()
    start = shipped_folder() if arguments.start == "shipped" else Path(arguments.start) if arguments.start else None
    work = prepare(load_recipe(arguments.recipe, [*STAGE, *arguments.settings]), open_split(arguments.data))
    print(f"prepared in {time.monotonic() - begun:.0f} s", flush=True)
    results: list[JsonObject] = []
    runs: list[Factors] = []
    longest = 0.0
    for seed in arguments.seeds:
        if runs and time.monotonic() - begun + longest > 60 * arguments.minutes:
            break
        started = time.monotonic()
        runs.append(train(work, seed, padded_factors(work.model, start, seed)))
        seconds = time.monotonic() - started
        longest = max(longest, seconds)
        commands = commands_of(arguments, start, [seed], f"seed{seed}")
        write_model(arguments.output / f"seed{seed}", runs[-1], work, seed, start, commands)
        add(arguments.output, results, {"run": f"seed {seed}", "seconds": round(seconds, 1)}, work, runs[-1])
    means = {"mean": mean_of(work.model, runs, {})}
    others = {folder.name: padded_factors(work.model, folder, 0) for folder in arguments.mean_with}
    for share in SHARES:
        for name, other in others.items():
            means[f"mean, {share} of {name}"] = mean_of(work.model, runs, {name: (other, share)})
    for what, factors in means.items():
        add(arguments.output, results, {"run": what}, work, factors)
    commands = commands_of(arguments, start, arguments.seeds[: len(runs)], "mean")
    write_model(arguments.output / "mean", means["mean"], work, arguments.seeds[0], start, commands)


def prepare(recipe: Recipe, data: SplitFolder) -> Work:
    """Load the base onto the device, encode the rows and capture the steps."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    base = load_base(recipe.base, device="cpu", dtype="float32")
    weights, config = load_weights(base.model, device)
    model = LoraLlama(weights, config, recipe.lora.r, recipe.lora.alpha)
    prompt = Prompt(base.tokenizer, data.labels, recipe.prompt)
    trie = LabelTrie(prompt.answer_ids, prompt.end_ids)
    if any(len(path) > 1 for path in trie.paths):
        raise SystemExit("Each label must have a first token of its own on this base.")
    tokens = [path[0] for path in trie.paths]
    examples = usable_rows(data.examples("train"), recipe, data.labels.names)
    rows = LabelRows(examples, prompt, trie, recipe.training)
    label_tokens = torch.tensor(tokens, device=device)
    settings = recipe.training
    steps = Steps(model, settings.batch_size, len(tokens), label_loss(label_tokens), settings.max_grad_norm)
    validation = usable_rows(data.examples("validation"), recipe, data.labels.names)
    validation_ids = prompt.encode(show_options((row.question for row in validation), False))
    return Work(model, steps, recipe, data, prompt, tokens, rows, examples, validation, validation_ids)


def padded_factors(model: LoraLlama, folder: Path | None, seed: int) -> Factors:
    """Return the adapter of `folder` at the model's rank, what is missing drawn as PEFT draws it."""
    factors = model.fresh(seed)
    if folder is None:
        return factors
    adapter = read_adapter(folder)
    for name, (a, b) in adapter.factors.items():
        first, second = factors[name.removeprefix(_PREFIX)]
        first[: len(a)] = torch.from_numpy(a)
        second[:, : len(a)] = torch.from_numpy(b) * (adapter.scale / model.scale)
    return factors


def mean_of(model: LoraLlama, runs: Sequence[Factors], others: Mapping[str, tuple[Factors, float]]) -> Factors:
    """Return the mean of the runs with shares of other adapters, at the model's rank."""
    taken = [*runs, *(factors for factors, _ in others.values())]
    left = 1 - sum(share for _, share in others.values())
    shares = [*(left / len(runs) for _ in runs), *(share for _, share in others.values())]
    cpu = [{name: (a.cpu(), b.cpu()) for name, (a, b) in factors.items()} for factors in taken]
    return mean_factors(cpu, shares, model.rank)[0]


def train(work: Work, seed: int, start: Factors) -> Factors:
    """Train on all rows of the mixture, in the batches and with the targets of `subjectwise train`."""
    settings, tokens = work.recipe.training, work.tokens
    noise = 0.0 if settings.augment == "none" else NOISY_SHARE
    batches = LengthBatches(
        work.rows.lengths, settings.batch_size, settings.options_share, seed, noise,
        weights=row_weights(work.examples, work.data),
    )  # fmt: skip
    work.model.set_factors(start)
    work.steps.total_loss.zero_()
    total = len(batches) * settings.epochs
    warm, step = max(1, int(settings.warmup * total)), 0
    for epoch in range(settings.epochs):
        batches.set_epoch(epoch)
        for batch in batches:
            items = [work.rows[view] for view in batch]
            ids = [np.array([*work.prompt.prefix_ids, *item.ids]) for item in items]
            targets = np.stack([_distribution(item.shares[0], tokens, settings.label_smoothing) for item in items])
            rate = min(1.0, (step + 1) / warm) if step < warm else _cosine((step - warm) / max(1, total - warm))
            work.steps.run(ids, targets, np.ones(len(items), np.float32), settings.learning_rate * rate)
            step += 1
        print(f"epoch {epoch + 1} of {settings.epochs}, {step} steps", flush=True)
    return work.model.factors()


def _cosine(progress: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def _distribution(shares: Mapping[int, float], tokens: list[int], smoothing: float) -> npt.NDArray[np.float32]:
    target = np.array([shares.get(token, 0.0) for token in tokens])
    return ((1 - smoothing) * target + smoothing / len(tokens)).astype(np.float32)


def validation_log_probs(work: Work) -> npt.NDArray[np.float64]:
    """Return the log-probability of each answer to each validation question, [questions, answers]."""
    prompt, ids, device = work.prompt, work.validation_ids, work.model.adapter.weights.device
    order = sorted(range(len(ids)), key=lambda row: -len(ids[row]))
    found = np.empty((len(ids), len(work.tokens)))
    for start in range(0, len(order), _ROWS_OF_A_BATCH):
        chosen = order[start : start + _ROWS_OF_A_BATCH]
        rows = [[*prompt.prefix_ids, *ids[row]] for row in chosen]
        padded = torch.tensor([row + [0] * (len(rows[0]) - len(row)) for row in rows], device=device)
        last = torch.tensor([len(row) - 1 for row in rows], device=device)
        with torch.inference_mode():
            found[chosen] = work.model.last_logits(padded, last).log_softmax(-1)[:, work.tokens].cpu().numpy()
    return found


def validate(work: Work) -> JsonObject:
    """Measure the model's adapter on the validation rows, questions alone; each kind apart, any fair label right."""
    examples = work.validation
    labels = work.data.labels
    answers = normalise(validation_log_probs(work), len(labels))
    measured = ValidationScores(
        answers.log_probs, answers.in_scope, class_indices(examples, labels, none=-1),
        fair_labels(examples, labels.names), tuple(row.kind for row in examples),
    )  # fmt: skip
    rows_of_labels = measured.labelled()
    best = rows_of_labels.log_probs.argmax(axis=1)
    right = rows_of_labels.fair[np.arange(len(best)), best]
    kinds = np.array(rows_of_labels.kinds)
    found = {str(kind): round(float(right[kinds == kind].mean()), 4) for kind in np.unique(kinds)}
    return {**measure_epoch(measured), "fair": float(np.mean(list(found.values()))), "kinds": found}


def add(output: Path, results: list[JsonObject], about: JsonObject, work: Work, factors: Factors) -> None:
    """Validate, print, and keep the figures."""
    work.model.set_factors(factors)
    results.append({**about, **validate(work)})
    output.mkdir(parents=True, exist_ok=True)
    write_json(output / "runs.json", {"recipe": work.recipe.to_dict(), "results": results})
    print(json.dumps(results[-1]), flush=True)


def commands_of(arguments: argparse.Namespace, start: Path | None, seeds: Sequence[int], name: str) -> list[str]:
    """Return what makes a run, or the mean of all, for its card; folders do not have the names that they have here."""
    parts = ["python benchmarks/gpu_training.py --data split"]
    parts += ["--from MODEL"] if start else []
    parts += [f"--seeds {' '.join(map(str, seeds))}"]
    parts += [f"--set {setting}" for setting in arguments.settings]
    return [" ".join([*parts, "--output runs"]), f"subjectwise calibrate runs/{name} --data split"]


def write_model(
    folder: Path, factors: Factors, work: Work, seed: int, start: Path | None, commands: Sequence[str]
) -> None:
    """Write a model folder with these weights; what does not depend on them is that of `start`, or the shipped one."""
    like = start or shipped_folder()
    shutil.copytree(like, folder, ignore=shutil.ignore_patterns(".eval_results", "sentences", "fast", "words.json"))
    save_factors(factors, folder / WEIGHTS_FILE)
    adapter = read_json(folder / CONFIG_FILE, ModelFolderError)
    recipe = replace(work.recipe, training=replace(work.recipe.training, seed=seed))
    write_json(folder / CONFIG_FILE, {**adapter, "r": recipe.lora.r, "lora_alpha": recipe.lora.alpha})
    config = replace(
        read_config(like), prompt=recipe.prompt, prefix=work.prompt.prefix, labels=work.data.labels, temperature=1.0,
        recipe=recipe.to_dict(), manifest_sha256=work.data.manifest_sha256, thresholds={}, words={}, scope=None,
        results={"commands": list(commands), **({"start": start_identity(start)} if start else {})},
    )  # fmt: skip
    write_config(folder, config)


if __name__ == "__main__":
    main()
