"""Train the second adapter of a model, which writes the sentence of an explanation, from a file of reasons."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from torch import Tensor

from subjectwise.data.split import SplitFolder
from subjectwise.engines.pytorch.attention import register
from subjectwise.errors import DataError, ModelFolderError
from subjectwise.models.base_info import locate_base
from subjectwise.models.base_model import load_base
from subjectwise.models.devices import AUTO, Compute, choose_device
from subjectwise.models.model_config import SENTENCE_FOLDER, read_config, write_config
from subjectwise.models.model_folder import load_model, save_adapter
from subjectwise.recipe import Recipe
from subjectwise.records import Example
from subjectwise.training.batch_order import LengthBatches
from subjectwise.training.callbacks import Console
from subjectwise.training.checkpoints import last_checkpoint, open_checkpoints
from subjectwise.training.losses import token_loss
from subjectwise.training.processes import Processes
from subjectwise.training.sentence_rows import Reason, SentenceRows, explain_all, reasons_of_split, words_of
from subjectwise.training.tasks import with_adapter
from subjectwise.training.trainer import TrainerRun, make_trainer, training_arguments
from subjectwise.training.training_rows import RowView, TokenTargets
from subjectwise.types import JsonObject, LanguageModel
from subjectwise.utils.atomic_files import check_new, new_folder, write_json
from subjectwise.utils.progress import progress_bar

_WORDS_FILE = "words.json"


@dataclass(frozen=True)
class SentenceResult:
    """What the training of an adapter for sentences measured.

    Attributes:
        folder: of the model.
        rows: how many reasons it was trained on.
        validation_rows: how many chose the epoch.
        best_epoch: whose adapter was kept.
        nll: of a token of the validation reasons there, in nats.
    """

    folder: Path
    rows: int
    validation_rows: int
    best_epoch: int
    nll: float


def train_sentences(
    model: Path,
    reasons: Sequence[Reason],
    data: SplitFolder,
    output: Path,
    recipe: Recipe,
    *,
    base: str | None = None,
    compute: Compute = AUTO,
    progress: bool = True,
) -> SentenceResult:
    """Train an adapter on the same base to write the reasons, and write `output`: the model with that adapter in it.

    A prompt names the words that the model itself goes by, as it will when it answers; reasons for another label than
    the model's answer are left out. Checkpoints go to `OUTPUT.checkpoints`; a run that was killed resumes there.

    Args:
        model: an adapter for scored labels.
        reasons: whose questions are in `data`: those of its training rows train, those of its validation rows choose
            the epoch, all others are left for measuring.
        data: a split folder.
        output: a new path.
        recipe: of the adapter; its prompt settings are not used.
        base: where the base is, when it is not where the model says.
        compute: device and precision.
        progress: whether to show it.

    Raises:
        OutputError: `output` exists, or the checkpoints beside it belong to another run.
        DataError: no reason belongs to a training row, or none to a validation row.
        ModelFolderError: `model` has a classification head or is damaged.
    """
    check_new(output)
    config = read_config(model)
    if config.head.used:
        raise ModelFolderError("Cannot train sentences for a classification head; train an adapter for scored labels.")
    parts = {split: reasons_of_split(reasons, data, split) for split in ("train", "validation")}
    for split, rows in parts.items():
        if not rows:
            raise DataError(f"No reason belongs to a {split} row of {data.path}; the questions must be the same.")
    every = [Example(str(i), row.question, row.label, row.text) for i, row in enumerate(reasons)]
    checkpoints = open_checkpoints(output, recipe, data, also=every, start=model)

    words = _cached_words(checkpoints, model, parts, base, compute, progress)
    kept = {
        split: [
            (reason, evidence)
            for reason, evidence in zip(parts[split], words[split], strict=True)
            if evidence is not None
        ]
        for split in parts
    }
    if not all(kept.values()):
        raise DataError(f"{model} gives no question of the reasons its label; train the model first.")
    results, adapted = _train(model, recipe, kept, checkpoints, base, compute, progress)
    with new_folder(output) as folder:
        shutil.copytree(model, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(SENTENCE_FOLDER))
        (folder / SENTENCE_FOLDER).mkdir()
        save_adapter(folder / SENTENCE_FOLDER, adapted, config)
        measured = {"recipe": recipe.to_dict(), "rows": len(kept["train"]), **results}
        write_config(folder, replace(config, results={**config.results, "sentences": measured}))
    shutil.rmtree(checkpoints, ignore_errors=True)
    return SentenceResult(output, len(kept["train"]), len(kept["validation"]), results["best_epoch"], results["nll"])


def _cached_words(
    checkpoints: Path,
    model: Path,
    parts: Mapping[str, Sequence[Reason]],
    base: str | None,
    compute: Compute,
    progress: bool,
) -> dict[str, list[list[str] | None]]:
    """Return the words for each reason, None where the model gives the question another label; kept for resuming."""
    file = checkpoints / _WORDS_FILE
    if file.is_file():
        cached: dict[str, list[list[str] | None]] = json.loads(file.read_text(encoding="utf-8"))
        return cached
    loaded = load_model(model, base=base, compute=compute)
    words: dict[str, list[list[str] | None]] = {}
    with progress_bar("Explaining", sum(map(len, parts.values())), "questions", hidden=not progress) as bar:
        for split, rows in parts.items():
            questions = [row.question for row in rows]
            explanations = explain_all(loaded.scorer, loaded.config.temperature, questions, bar.update)
            right = [item.label == row.label for item, row in zip(explanations, rows, strict=True)]
            evidence = words_of(explanations)
            words[split] = [named if agrees else None for named, agrees in zip(evidence, right, strict=True)]
    write_json(file, words)
    return words


def _train(
    model: Path,
    recipe: Recipe,
    rows: Mapping[str, Sequence[tuple[Reason, Sequence[str]]]],
    checkpoints: Path,
    base: str | None,
    compute: Compute,
    progress: bool,
) -> tuple[JsonObject, LanguageModel]:
    on_cpu = choose_device(compute.device).type == "cpu"
    name = base or locate_base(read_config(model).base)
    loaded = load_base(name, device=compute.device, dtype=compute.dtype, attention=register() if on_cpu else None)
    adapted = with_adapter(loaded, recipe)
    encoded = {
        split: SentenceRows([reason for reason, _ in part], [evidence for _, evidence in part], loaded.tokenizer)
        for split, part in rows.items()
    }
    settings = recipe.training
    trained, validation = encoded["train"], encoded["validation"]
    batches = LengthBatches(trained.lengths, settings.batch_size, 0.0, settings.seed)
    measure = partial(_measure, adapted, validation, settings.batch_size)
    args = training_arguments(settings, checkpoints, loaded.precision, on_cpu, ())
    run = TrainerRun(adapted, _loss, trained, batches, measure, args, settings, Processes())
    trainer = make_trainer((), run, [Console(len(trained), 1)] if progress else [])
    resume = last_checkpoint(checkpoints)
    trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    history = [entry for entry in trainer.state.log_history if "eval_nll" in entry]
    best = min(history, key=lambda entry: float(entry["eval_nll"]))
    return {"best_epoch": round(best["epoch"]), "nll": float(best["eval_nll"])}, adapted


def _loss(model: LanguageModel, batch: Sequence[TokenTargets]) -> Tensor:
    """Return the mean NLL of a token."""
    return token_loss(model, (), False, batch, per_row=False)


def _measure(model: LanguageModel, rows: SentenceRows, batch_size: int) -> dict[str, float]:
    """Return the mean NLL of a token over all rows."""
    total, tokens = 0.0, 0
    for start in range(0, len(rows), batch_size):
        batch = [rows[RowView(index)] for index in range(start, min(start + batch_size, len(rows)))]
        size = sum(len(row.targets) for row in batch)
        total, tokens = total + float(_loss(model, batch)) * size, tokens + size
    return {"nll": total / tokens}
