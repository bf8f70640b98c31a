"""The training run: from a recipe and a split folder to a model folder, with checkpoints to resume from."""

from __future__ import annotations

import gc
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from subjectwise.data.split import SplitFolder, rows_sha256
from subjectwise.engines.pytorch.attention import register
from subjectwise.errors import ModelFolderError, RecipeError
from subjectwise.labels import LabelSet
from subjectwise.models.devices import AUTO, Compute, choose_device
from subjectwise.models.lora import read_adapter
from subjectwise.models.model_config import ModelConfig, read_config
from subjectwise.models.model_folder import save_model
from subjectwise.recipe import Recipe
from subjectwise.records import OUT_OF_SCOPE, Example
from subjectwise.training.batch_order import LengthBatches
from subjectwise.training.calibrate_model import calibrate, calibration_warning
from subjectwise.training.callbacks import Console, has_stopped
from subjectwise.training.checkpoints import last_checkpoint, open_checkpoints, read_history, start_identity
from subjectwise.training.cost import training_cost
from subjectwise.training.processes import Processes, join_processes
from subjectwise.training.select_rows import draw_validation, row_weights, usable_rows, without_near_duplicates
from subjectwise.training.tasks import Task, head_task, label_task, start_from
from subjectwise.training.trainer import BatchTrainer, TrainerRun, make_trainer, training_arguments
from subjectwise.training.validation import join_scores, measure_epoch, score_examples
from subjectwise.types import JsonObject
from subjectwise.utils.atomic_files import check_new, new_folder

# The share of the rows that an epoch shows with noise, under `training.augment`.
NOISY_SHARE = 0.5

# From recipe, labels, rows, device, dtype and attention to what is trained, as `label_task` and `head_task`.
TaskFactory = Callable[[Recipe, LabelSet, Sequence[Example], str, str, str | None], Task]


@dataclass(frozen=True)
class TrainingResult:
    """What training measured on the validation rows, calibrated, and where the model folder is.

    Attributes:
        warning: one sentence where the validation rows are too few to calibrate on; else empty.
    """

    folder: Path
    epochs: int
    best_epoch: int
    seconds: float
    temperature: float
    accuracy: float
    macro_f1: float
    nll: float
    warning: str = ""


@dataclass(frozen=True)
class _Plan:
    """What a run does, checked before any model is loaded."""

    recipe: Recipe
    data: SplitFolder
    output: Path
    checkpoints: Path
    also: Sequence[Example]
    start: Path | None
    compute: Compute
    on_cpu: bool


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
    make_task: TaskFactory | None = None,
) -> TrainingResult:
    """Train an adapter or a head by `recipe` on a split folder and write a model folder to `output`.

    Checkpoints go to `OUTPUT.checkpoints` beside it. A run that was killed resumes from the last one when it is started
    again with the same recipe and data in as many processes, and ends with the same weights.

    In several processes (`accelerate launch`) each trains on a part of the rows; the first one writes and prints.

    Args:
        recipe: how to train.
        data: the rows.
        output: a new path.
        also: further rows to train on; near-duplicates of validation and test rows are left out.
        start: a model folder whose adapter is trained further, at its own rank; labels and data may differ.
        compute: device and precision.
        report_to: trackers that transformers knows, such as tensorboard.
        progress: whether to show it.
        make_task: what is trained; None for what the recipe says.

    Raises:
        OutputError: `output` exists, or the checkpoints beside it belong to another run.
        ModelFolderError: `start` is not an adapter for scored labels, or belongs to another base.
        DataError, RecipeError, BaseModelError: as their modules say.
        SubjectwiseError: a library of the extra `train` is not installed.
    """
    started = time.monotonic()
    processes = join_processes(compute.device)
    plan = processes.together(lambda: _plan(recipe, data, output.absolute(), also, start, compute, processes))
    task = make_task or (head_task if recipe.head.used else label_task)
    trained = plan.checkpoints / "trained"
    results = _train_and_save(plan, task, trained, processes, report_to, progress, started)
    _free_memory()
    written = processes.on_first(lambda: _calibrated_folder(plan, trained, progress))
    measured = written.results["validation"]
    return TrainingResult(
        folder=plan.output,
        epochs=len(results["epochs"]),
        best_epoch=results["best_epoch"],
        seconds=time.monotonic() - started,
        temperature=written.temperature,
        accuracy=measured["accuracy"],
        macro_f1=measured["macro_f1"],
        nll=measured["nll"],
        warning=calibration_warning(written),
    )


def _plan(
    recipe: Recipe,
    data: SplitFolder,
    output: Path,
    also: Sequence[Example],
    start: Path | None,
    compute: Compute,
    processes: Processes,
) -> _Plan:
    check_new(output, empty_folder=True)
    also = without_near_duplicates(also, data)
    if recipe.training.options_share and not any(row.question.options for row in data.examples("train")):
        raise RecipeError("training.options_share is set, but the data has no options; set it to 0.")
    if recipe.prompt.out_of_scope and not any(row.label == OUT_OF_SCOPE for row in data.examples("train")):
        raise RecipeError("prompt.out_of_scope is set, but the data has no requests of no label; set it to false.")
    on_cpu = choose_device(compute.device).type == "cpu"
    if recipe.training.compile and on_cpu and not any(map(shutil.which, ("c++", "g++", "clang++"))):
        raise RecipeError("training.compile needs a C++ compiler; install one, or use --set training.compile=false.")
    if start:
        recipe = _at_its_rank(recipe, start)
    checkpoints = open_checkpoints(output, recipe, data, also=also, start=start, processes=processes.count)
    return _Plan(recipe, data, output, checkpoints, also, start, compute, on_cpu)


def _train_and_save(
    plan: _Plan,
    make_task: TaskFactory,
    folder: Path,
    processes: Processes,
    report_to: Sequence[str],
    progress: bool,
    started: float,
) -> JsonObject:
    """Train, write the model to `folder` without calibration, and return what was measured on the way.

    Model and optimizer live no longer than this call: the calibration that follows loads the saved model.
    """

    # 1) The model
    def prepare() -> tuple[Task, BatchTrainer, Path | None]:
        task = _load_task(plan, make_task)
        resume = last_checkpoint(plan.checkpoints)
        return task, _make_trainer(plan, task, resume, processes, report_to, progress), resume

    task, trainer, resume = processes.together(prepare)

    # 2) The run
    with processes.ends_with_the_others():
        trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    history = [entry for entry in trainer.state.log_history if "eval_nll" in entry]
    results: JsonObject = {
        "best_epoch": round(min(history, key=lambda entry: float(entry["eval_nll"]))["epoch"]),
        "epochs": [_epoch_metrics(entry) for entry in history],
        "cost": training_cost(task.base.model, time.monotonic() - started, resume is not None),
        **({"also": {"rows": len(plan.also), "sha256": rows_sha256(plan.also)}} if plan.also else {}),
        **({"start": start_identity(plan.start)} if plan.start else {}),
    }

    # 3) The weights
    if processes.is_first:
        shutil.rmtree(folder, ignore_errors=True)
        with new_folder(folder) as temporary:
            save_model(temporary, task.base.model, task.base.tokenizer, _config(plan, task, results))
    return results


def _load_task(plan: _Plan, make_task: TaskFactory) -> Task:
    # On a CPU the fused attention kernel's backward pass is several times slower than plain matrix products.
    attention = register() if plan.on_cpu else None
    rows = _training_rows(plan)
    task = make_task(plan.recipe, plan.data.labels, rows, plan.compute.device, plan.compute.dtype, attention)
    if plan.start:
        start_from(task.base, plan.start)
    return task


def _training_rows(plan: _Plan) -> list[Example]:
    return [*_usable_rows(plan, "train"), *plan.also]


def _usable_rows(plan: _Plan, split: str) -> list[Example]:
    return usable_rows(plan.data.examples(split), plan.recipe, plan.data.labels.names)


def _make_trainer(
    plan: _Plan, task: Task, resume: Path | None, processes: Processes, report_to: Sequence[str], progress: bool
) -> BatchTrainer:
    settings = plan.recipe.training
    done = read_history(resume)
    if has_stopped(done, settings.patience):  # killed after its last epoch: nothing is left to train
        settings = replace(settings, epochs=len([entry for entry in done if "eval_nll" in entry]))
    rows, recipe = _training_rows(plan), plan.recipe
    validation = draw_validation(_usable_rows(plan, "validation"), settings)
    batches = LengthBatches(
        task.rows.lengths,
        settings.batch_size,
        1.0 if recipe.prompt.with_options else settings.options_share,
        settings.seed,
        0.0 if settings.augment == "none" else NOISY_SHARE,
        weights=row_weights(rows, plan.data),
        rank=processes.rank,
        processes=processes.count,
    )

    def measure() -> dict[str, float]:
        shown = progress and processes.is_first
        part = score_examples(task.scorer(), processes.share(validation), recipe.prompt.with_options, progress=shown)
        return measure_epoch(join_scores(processes.gather(part)))

    args = training_arguments(settings, plan.checkpoints, task.base.precision, plan.on_cpu, report_to)
    run = TrainerRun(task.base.model, task.loss, task.rows, batches, measure, args, settings, processes)
    return make_trainer(
        report_to, run, [Console(len(rows), processes.count)] if progress and processes.is_first else []
    )


def _config(plan: _Plan, task: Task, results: JsonObject) -> ModelConfig:
    return ModelConfig(
        base=task.base.info,
        prompt=plan.recipe.prompt,
        prefix=task.prefix,
        labels=plan.data.labels,
        temperature=1.0,
        recipe=plan.recipe.to_dict(),
        manifest_sha256=plan.data.manifest_sha256,
        results=results,
        head=plan.recipe.head,
        words=task.words,
    )


def _calibrated_folder(plan: _Plan, trained: Path, progress: bool) -> ModelConfig:
    """Calibrate the saved model and give it its name, whole or not at all."""
    with new_folder(plan.output) as folder:
        shutil.copytree(trained, folder, dirs_exist_ok=True)
        base = plan.recipe.base if Path(plan.recipe.base).exists() else None
        written = calibrate(folder, plan.data, base=base, compute=plan.compute, progress=progress)
    shutil.rmtree(plan.checkpoints, ignore_errors=True)
    return written


def _free_memory() -> None:
    gc.collect()  # the Trainer and its callbacks refer to each other
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _epoch_metrics(entry: Mapping[str, object]) -> JsonObject:
    return {key.removeprefix("eval_"): entry[key] for key in sorted(entry)}


def _at_its_rank(recipe: Recipe, start: Path) -> Recipe:
    """Return the recipe with rank, scale and layers of the adapter that it starts from."""
    if recipe.head.used or read_config(start).head.used:
        raise ModelFolderError("Cannot train a head further, only adapters for scored labels; use another recipe.")
    config = read_adapter(start).config
    alpha, names = float(config["lora_alpha"]), tuple(sorted(config["target_modules"]))
    return replace(recipe, lora=replace(recipe.lora, r=int(config["r"]), alpha=alpha, target_modules=names))
