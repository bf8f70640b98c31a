"""The training run: from a recipe and a split folder to a model folder, with checkpoints to resume from."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from subjectwise.data.near_duplicates import near_duplicate_groups
from subjectwise.data.split import SplitFolder, rows_sha256
from subjectwise.engines.pytorch.attention import register
from subjectwise.errors import DataError, ModelFolderError, OutputError, RecipeError
from subjectwise.models.devices import AUTO, Compute, choose_device
from subjectwise.models.lora import read_adapter
from subjectwise.models.model_config import ModelConfig, read_config
from subjectwise.models.model_folder import save_model
from subjectwise.recipe import Recipe, TrainingSettings
from subjectwise.records import Example
from subjectwise.training.calibrate_model import calibrate
from subjectwise.training.cost import training_cost
from subjectwise.training.tasks import head_task, label_task, start_from
from subjectwise.training.trainer import Console, make_trainer, training_arguments
from subjectwise.types import JsonObject
from subjectwise.utils.atomic_files import check_new, file_sha256, new_folder, read_json, write_json, writing


@dataclass(frozen=True)
class TrainingResult:
    """What training measured on the validation rows, calibrated, and where the model folder is."""

    folder: Path
    epochs: int
    best_epoch: int
    seconds: float
    temperature: float
    accuracy: float
    macro_f1: float
    nll: float


def train(
    recipe: Recipe,
    data: SplitFolder,
    output: Path,
    *,
    also: Sequence[Example] = (),
    start: Path | None = None,
    compute: Compute = AUTO,
    report_to: Sequence[str] = (),
    progress: bool = True,
) -> TrainingResult:
    """Train an adapter or a head by `recipe` on a split folder and write a model folder to `output`.

    Checkpoints go to `OUTPUT.checkpoints` beside it. A run that was killed resumes from the last one when it is started
    again with the same recipe and data, and ends with the same weights.

    Args:
        recipe: how to train.
        data: the rows.
        output: a new path.
        also: further rows to train on; near-duplicates of validation and test rows are left out.
        start: a model folder whose adapter is trained further, at its own rank; labels and data may differ.
        compute: device and precision.
        report_to: trackers that transformers knows, such as tensorboard.
        progress: whether to show it.

    Raises:
        OutputError: `output` exists, or the checkpoints beside it belong to another run.
        ModelFolderError: `start` is not an adapter for scored labels, or belongs to another base.
        DataError, RecipeError, BaseModelError: as their modules say.
    """
    started = time.monotonic()
    output = output.absolute()
    check_new(output, empty_folder=True)
    rows, validation = data.examples("train"), data.examples("validation")
    also = _without_near_duplicates(also, data)
    if recipe.training.options_share and not any(row.question.options for row in rows):
        raise RecipeError("training.options_share is set, but the data has no options; set it to 0.")
    on_cpu = choose_device(compute.device).type == "cpu"
    if recipe.training.compile and on_cpu and not any(map(shutil.which, ("c++", "g++", "clang++"))):
        raise RecipeError("training.compile needs a C++ compiler; install one, or use --set training.compile=false.")
    if start:
        recipe = _at_its_rank(recipe, start)
    checkpoints = _open_checkpoints(output, recipe, data, also, start)

    # 1) The model
    make_task = head_task if recipe.head.used else label_task
    # On a CPU the fused attention kernel's backward pass is several times slower than plain matrix products.
    attention = register() if on_cpu else None
    task = make_task(recipe, data.labels, [*rows, *also], compute.device, compute.dtype, attention)
    base = task.base
    if start:
        start_from(base, start)

    # 2) The run
    trainer = make_trainer(
        report_to,
        task=task,
        args=training_arguments(recipe.training, checkpoints, base.precision, on_cpu, report_to),
        validation=_draw(validation, recipe.training),
        recipe=recipe,
        progress=progress,
        callbacks=[Console()] if progress else [],
    )
    resume = last_checkpoint(checkpoints)
    trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    cost = training_cost(base.model, time.monotonic() - started, resume is not None)
    history = [entry for entry in trainer.state.log_history if "eval_nll" in entry]
    best = min(history, key=lambda entry: entry["eval_nll"])

    # 3) The folder; of several processes one writes it
    if trainer.is_world_process_zero():
        config = ModelConfig(
            base=base.info,
            prompt=recipe.prompt,
            prefix=task.prefix,
            labels=data.labels,
            temperature=1.0,
            recipe=recipe.to_dict(),
            manifest_sha256=data.manifest_sha256,
            results={
                "best_epoch": round(best["epoch"]),
                "epochs": [_epoch_metrics(entry) for entry in history],
                "cost": cost,
                **({"also": {"rows": len(also), "sha256": rows_sha256(also)}} if also else {}),
                **({"start": _start_identity(start)} if start else {}),
            },
            head=recipe.head,
            words=task.words,
        )
        with new_folder(output) as folder:
            save_model(folder, base.model, base.tokenizer, config)
            calibrate(folder, data, compute=compute, progress=progress)
        shutil.rmtree(checkpoints, ignore_errors=True)
    trainer.accelerator.wait_for_everyone()
    written = read_config(output)
    measured = written.results["validation"]
    return TrainingResult(
        folder=output,
        epochs=len(history),
        best_epoch=round(best["epoch"]),
        seconds=time.monotonic() - started,
        temperature=written.temperature,
        accuracy=measured["accuracy"],
        macro_f1=measured["macro_f1"],
        nll=measured["nll"],
    )


def _epoch_metrics(entry: Mapping[str, object]) -> JsonObject:
    return {key.removeprefix("eval_"): entry[key] for key in sorted(entry)}


def _draw(validation: Sequence[Example], settings: TrainingSettings) -> list[Example]:
    """Return the validation rows that choose the epoch."""
    if not settings.validation_rows or settings.validation_rows >= len(validation):
        return list(validation)
    drawn = np.random.default_rng(settings.seed).permutation(len(validation))[: settings.validation_rows]
    return [validation[i] for i in sorted(drawn)]


def _at_its_rank(recipe: Recipe, start: Path) -> Recipe:
    """Return the recipe with rank, scale and layers of the adapter that it starts from."""
    if recipe.head.used or read_config(start).head.used:
        raise ModelFolderError("Cannot train a head further, only adapters for scored labels; use another recipe.")
    config = read_adapter(start).config
    alpha, names = float(config["lora_alpha"]), tuple(sorted(config["target_modules"]))
    return replace(recipe, lora=replace(recipe.lora, r=int(config["r"]), alpha=alpha, target_modules=names))


def _start_identity(start: Path) -> JsonObject:
    """Return what identifies the adapter that a run started from."""
    config = read_config(start)
    return {"sha256": file_sha256(start / config.weights_file), "manifest_sha256": config.manifest_sha256}


def _without_near_duplicates(also: Sequence[Example], data: SplitFolder) -> list[Example]:
    """Return the rows that are not near-duplicates of validation or test rows."""
    for row in also:
        if row.label not in data.labels:
            raise DataError(f"Row {row.row_id} of --also has label {row.label!r}, which is not a label of {data.path}.")
    if not also:
        return []
    kept = [row.question.text for split in ("validation", "test") for row in data.examples(split)]
    groups = near_duplicate_groups([*kept, *(row.question.text for row in also)])
    known = set(groups[: len(kept)].tolist())
    return [row for row, group in zip(also, groups[len(kept) :].tolist(), strict=True) if group not in known]


def _open_checkpoints(
    output: Path, recipe: Recipe, data: SplitFolder, also: Sequence[Example], start: Path | None
) -> Path:
    """The folder of checkpoints for `output`; refuses one that another recipe or other data left there."""
    folder = output.with_name(f"{output.name}.checkpoints")
    run = {"recipe": recipe.to_dict(), "manifest_sha256": data.manifest_sha256}
    if also:
        run["also_sha256"] = rows_sha256(also)
    if start:
        run["start"] = _start_identity(start)
    file = folder / "run.json"
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    if file.is_file() and read_json(file, OutputError) != json.loads(json.dumps(run)):
        raise OutputError(
            f"{folder} belongs to a run with another recipe or other data; remove it, or use another --output."
        )
    write_json(file, run)
    return folder


def last_checkpoint(folder: Path) -> Path | None:
    """Return the newest complete checkpoint: the Trainer writes its state last."""
    checkpoints = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]), reverse=True)
    for path in checkpoints:
        try:
            json.loads((path / "trainer_state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            shutil.rmtree(path, ignore_errors=True)
            continue
        return path
    return None
