"""Trains an adapter: data order, loss, validation, best epoch, resume; ends by fitting the calibration.

transformers' Trainer and PEFT do the work. What is ours is which rows a batch holds and what the loss reads.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from types import MethodType
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm
from transformers import EarlyStoppingCallback, PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from subjectwise import metrics
from subjectwise.base_models import Base, choose_device, load_base
from subjectwise.calibration import apply_temperature, fit_temperature
from subjectwise.data.split import SplitFolder
from subjectwise.engines.pytorch import (
    PyTorchEngine,
    check_head,
    output_logits,
    read_prefix,
    read_rows,
    shares_prefix,
)
from subjectwise.errors import OutputError, RecipeError
from subjectwise.files import new_folder, read_json, write_json, writing
from subjectwise.model_folder import ModelConfig, load_model, save_model, write_config
from subjectwise.prompt import Prompt
from subjectwise.recipe import Recipe, TrainingSettings
from subjectwise.records import Example
from subjectwise.scoring import LabelTrie, Scores, score

# Below this many tokens a prefix costs less to read with every row than to keep apart.
SHORT_PREFIX = 16


@dataclass(frozen=True)
class Target:
    """What the loss reads of one row.

    Attributes:
        ids: the row, and of the answer all but its last target.
        targets: the tokens to predict at the last `len(targets)` places of `ids`, one after another.
    """

    ids: list[int]
    targets: list[int]


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


class TrainingRows(Dataset[Target]):
    """Encoded rows in two views, without (even keys) and with (odd keys) their options."""

    def __init__(self, examples: Sequence[Example], prompt: Prompt, trie: LabelTrie, loss: str) -> None:
        questions = [example.question for example in examples]
        self._views = [prompt.encode_questions(questions, with_options=shown) for shown in (False, True)]
        self._labels = [prompt.labels.index(example.label) for example in examples]
        self._prompt, self._trie, self._loss = prompt, trie, loss
        self.lengths = np.array([[len(row) for row in view] for view in self._views])  # [2, rows]

    def __len__(self) -> int:
        return 2 * len(self._labels)

    def __getitem__(self, key: int) -> Target:
        row, label = self._views[key % 2][key // 2], self._labels[key // 2]
        if self._loss == "label":
            path = self._trie.paths[label]
            return Target([*row, *path[:-1]], path)
        answer = [*self._prompt.label_ids[label], *self._prompt.end_ids]
        if self._loss == "answer":
            return Target([*row, *answer[:-1]], answer)
        whole = [*self._prompt.prefix_ids, *row, *answer]
        return Target(whole[:-1], whole[1:])


class LengthBatches:
    """Batches of rows of like length, in an order that the seed and the epoch alone decide.

    Rows are shuffled, sorted by length within stretches of 32 batches, and the batches shuffled. Each epoch draws
    anew which rows are shown with their options.
    """

    drop_last = False  # accelerate asks

    def __init__(self, lengths: Any, batch_size: int, shown_share: float, seed: int) -> None:
        self.lengths, self.batch_size, self.shown_share, self.seed, self.epoch = (
            lengths,
            batch_size,
            shown_share,
            seed,
            0,
        )

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-int(self.lengths.shape[1]) // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        generator = np.random.default_rng([self.seed, self.epoch])
        rows = self.lengths.shape[1]
        shown = generator.random(rows) < self.shown_share
        lengths = np.where(shown, self.lengths[1], self.lengths[0])
        order = generator.permutation(rows)
        batches: list[list[int]] = []
        # Only the last stretch may end in a short batch, so that every epoch has the same number of batches.
        for start in range(0, rows, 32 * self.batch_size):
            stretch = order[start : start + 32 * self.batch_size]
            stretch = stretch[np.argsort(-lengths[stretch], kind="stable")]
            batches += [
                [int(2 * row + shown[row]) for row in stretch[i : i + self.batch_size]]
                for i in range(0, len(stretch), self.batch_size)
            ]
        for place in generator.permutation(len(batches)):
            yield batches[place]


def batch_loss(model: Any, prefix_ids: Sequence[int], share: bool, batch: Sequence[Target], per_row: bool) -> Tensor:
    """Cross-entropy over the full vocabulary at the targets: a mean over rows (`per_row`) or over tokens."""
    prefix = read_prefix(model, prefix_ids, share)
    hidden = read_rows(model, prefix, [item.ids for item in batch])  # [rows, longest, hidden]
    rows = [i for i, item in enumerate(batch) for _ in item.targets]
    places = [place for item in batch for place in range(len(item.ids) - len(item.targets), len(item.ids))]
    targets = torch.tensor([token for item in batch for token in item.targets], device=hidden.device)
    logits = output_logits(model, hidden[rows, places])  # [targets, vocabulary]
    total = torch.nn.functional.cross_entropy(logits, targets, reduction="sum")
    return total / (len(batch) if per_row else len(targets))


def train(
    recipe: Recipe,
    data: SplitFolder,
    output: Path,
    *,
    device: str = "auto",
    dtype: str = "auto",
    report_to: Sequence[str] = (),
    progress: bool = True,
) -> TrainingResult:
    """Trains an adapter by `recipe` on a split folder and writes a model folder to `output`.

    Checkpoints go to `OUTPUT.checkpoints` beside it. A run that was killed goes on from the last one when it is
    started again with the same recipe and data, and ends with the same weights.

    Raises:
        OutputError: `output` exists, or the checkpoints beside it belong to another run.
        DataError, RecipeError, BaseModelError: as their modules say.
    """
    started = time.monotonic()
    output = output.absolute()
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise OutputError(f"{output} exists already; choose another place, or remove it first.")
    rows, held = data.examples("train"), data.examples("validation")
    if recipe.training.options_share and not any(row.question.options for row in rows):
        raise RecipeError("training.options_share is set, but the data has no options; set it to 0.")
    on_cpu = choose_device(device).type == "cpu"
    if recipe.training.compile and on_cpu and not any(map(shutil.which, ("c++", "g++", "clang++"))):
        raise RecipeError("training.compile needs a C++ compiler; install one, or use --set training.compile=false.")
    checkpoints = _open_checkpoints(output, recipe, data)

    # 1) The model
    # On a CPU the fused attention kernel's backward pass is several times slower than plain matrix products.
    base = load_base(recipe.base, device=device, dtype=dtype, attention="eager" if on_cpu else None)
    check_head(base.model)
    prompt = Prompt(base.tokenizer, data.labels, recipe.prompt)
    trie = LabelTrie(prompt.label_ids, prompt.end_ids)
    model = _with_adapter(base, recipe)
    _install_loss(model, prompt, recipe.training)

    # 2) The run
    console = _Console() if progress else None
    trainer = _trainer(
        report_to,
        model=model,
        args=_arguments(recipe.training, checkpoints, base, on_cpu, report_to),
        rows=TrainingRows(rows, prompt, trie, recipe.training.loss),
        validation=_draw(held, recipe.training),
        prompt=prompt,
        trie=trie,
        settings=recipe.training,
        callbacks=[console] if console else [],
    )
    resume = _last_checkpoint(checkpoints)
    trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    history = [entry for entry in trainer.state.log_history if "eval_nll" in entry]
    best = min(history, key=lambda entry: entry["eval_nll"])

    # 3) The folder: what is calibrated is the saved adapter on the merged path, which is what answers
    config = ModelConfig(
        base=base.info,
        prompt=recipe.prompt,
        prefix=prompt.prefix,
        labels=data.labels,
        temperature=1.0,
        recipe=recipe,
        manifest_sha256=data.manifest_sha256,
    )
    with new_folder(output) as folder:
        save_model(folder, model, base.tokenizer, config)
        del trainer, model
        loaded = load_model(folder, base=recipe.base, device=device, dtype=dtype)
        scores, truth = _score_validation(loaded.model, loaded.prompt, trie, held)
        temperature = fit_temperature(scores.log_probs, truth)
        probabilities = apply_temperature(scores.log_probs, temperature)
        measured = {
            "rows": len(held),
            "accuracy": metrics.accuracy(probabilities, truth),
            "macro_f1": metrics.macro_f1(probabilities, truth),
            "nll": metrics.nll(probabilities, truth),
            "ece": metrics.ece(probabilities, truth),
        }
        curve = [{key.removeprefix("eval_"): entry[key] for key in sorted(entry)} for entry in history]
        results = {"validation": measured, "best_epoch": round(best["epoch"]), "epochs": curve}
        write_config(folder, replace(config, temperature=temperature, results=results))
    shutil.rmtree(checkpoints, ignore_errors=True)
    return TrainingResult(
        folder=output,
        epochs=len(history),
        best_epoch=round(best["epoch"]),
        seconds=time.monotonic() - started,
        temperature=temperature,
        accuracy=measured["accuracy"],
        macro_f1=measured["macro_f1"],
        nll=measured["nll"],
    )


def _with_adapter(base: Base, recipe: Recipe) -> Any:
    from peft import LoraConfig, TaskType, get_peft_model

    torch.manual_seed(recipe.training.seed)  # the adapter's first weights are drawn here
    settings = LoraConfig(
        r=recipe.lora.r,
        lora_alpha=int(recipe.lora.alpha) if recipe.lora.alpha == int(recipe.lora.alpha) else recipe.lora.alpha,
        lora_dropout=recipe.lora.dropout,
        target_modules=list(recipe.lora.target_modules),
        task_type=TaskType.CAUSAL_LM,
    )
    try:
        model = get_peft_model(base.model, settings)
    except ValueError as error:
        raise RecipeError(
            f"lora.target_modules do not fit {base.info.name}: {' '.join(str(error).split())[:200]}"
        ) from error
    if recipe.training.compile:
        for layer in model.get_base_model().get_decoder().layers:
            layer.compile(dynamic=True)
    return model


def _install_loss(model: Any, prompt: Prompt, settings: TrainingSettings) -> None:
    """Makes the model's `forward` the loss, since wrappers for many GPUs see only what goes through `forward`."""
    prefix_ids = [] if settings.loss == "sequence" else prompt.prefix_ids
    share = {"on": True, "off": False, "auto": len(prefix_ids) >= SHORT_PREFIX}[settings.share_prefix]
    share = share and shares_prefix(model)

    def forward(self: Any, batch: Sequence[Target]) -> Tensor:
        return batch_loss(self, prefix_ids, share, batch, per_row=settings.loss == "label")

    model.forward = MethodType(forward, model)


def _draw(held: Sequence[Example], settings: TrainingSettings) -> list[Example]:
    """The validation rows that choose the epoch."""
    if not settings.validation_rows or settings.validation_rows >= len(held):
        return list(held)
    drawn = np.random.default_rng(settings.seed).permutation(len(held))[: settings.validation_rows]
    return [held[i] for i in sorted(drawn)]


def _score_validation(
    model: Any, prompt: Prompt, trie: LabelTrie, examples: Sequence[Example]
) -> tuple[Scores, metrics.IntArray]:
    engine = PyTorchEngine(model, prompt.prefix_ids)
    scores = score(engine, prompt.encode_questions([example.question for example in examples]), trie)
    return scores, np.array([prompt.labels.index(example.label) for example in examples])


def _arguments(
    settings: TrainingSettings, folder: Path, base: Base, on_cpu: bool, report_to: Sequence[str]
) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=settings.warmup,
        weight_decay=settings.weight_decay,
        per_device_train_batch_size=settings.batch_size,
        gradient_accumulation_steps=settings.gradient_accumulation,
        max_grad_norm=settings.max_grad_norm,
        seed=settings.seed,
        optim="adamw_torch",
        bf16=base.model.dtype == torch.bfloat16,
        fp16=base.model.dtype == torch.float16,
        use_cpu=on_cpu,
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=1,  # and the best one
        load_best_model_at_end=True,
        metric_for_best_model="nll",
        greater_is_better=False,
        logging_steps=10,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        report_to=list(report_to) or "none",
        disable_tqdm=True,  # its bar and its figures go to standard output, which is for results
    )


def _trainer(report_to: Sequence[str], **options: Any) -> _LabelTrainer:
    """The trainer; RecipeError where a place to report to is unknown or not installed."""
    try:
        return _LabelTrainer(**options)
    except (ImportError, RuntimeError, ValueError) as error:
        if not report_to:
            raise
        reason = " ".join(str(error).split())[:200]
        raise RecipeError(f"Metrics cannot be reported to {', '.join(report_to)}: {reason}") from error


class _LabelTrainer(Trainer):
    """The Trainer with our batches, our loss and our validation."""

    control: Any

    def __init__(
        self,
        *,
        model: Any,
        args: TrainingArguments,
        rows: TrainingRows,
        validation: Sequence[Example],
        prompt: Prompt,
        trie: LabelTrie,
        settings: TrainingSettings,
        callbacks: Sequence[TrainerCallback],
    ) -> None:
        ours = [EarlyStoppingCallback(settings.patience), _Checkpoints(settings.checkpoint_steps), *callbacks]
        super().__init__(model=model, args=args, train_dataset=rows, eval_dataset=rows, callbacks=ours)
        self.remove_callback(PrinterCallback)
        self.model_accepts_loss_kwargs = False  # the loss is a mean over one batch, so accumulation divides it
        self._rows, self._validation, self._prompt, self._trie, self._settings = (
            rows,
            validation,
            prompt,
            trie,
            settings,
        )

    def get_train_dataloader(self) -> DataLoader[Any]:
        settings = self._settings
        share = 1.0 if self._prompt.settings.with_options else settings.options_share
        batches = LengthBatches(self._rows.lengths, settings.batch_size, share, settings.seed)
        loader: DataLoader[Any] = DataLoader(self._rows, batch_sampler=batches, collate_fn=lambda rows: {"batch": rows})
        prepared: DataLoader[Any] = self.accelerator.prepare(loader)
        return prepared

    def compute_loss(self, model: Any, inputs: Mapping[str, Any], *args: Any, **kwargs: Any) -> Tensor:
        loss: Tensor = model(batch=inputs["batch"])
        return loss

    def floating_point_ops(self, inputs: Mapping[str, Any]) -> int:
        return 0  # the Trainer's estimate asks for padded inputs

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """NLL, accuracy and macro-F1 on the validation rows, uncalibrated, through the scoring that answers."""
        model = self.accelerator.unwrap_model(self.model)
        eager: AbstractContextManager[Any] = (
            torch.compiler.set_stance("force_eager") if self._settings.compile else nullcontext()
        )
        model.eval()
        with torch.no_grad(), eager, self.compute_loss_context_manager():
            scores, truth = _score_validation(model, self._prompt, self._trie, self._validation)
        model.train()
        probabilities = np.exp(scores.log_probs)
        measured = {
            "eval_nll": metrics.nll(probabilities, truth),
            "eval_accuracy": metrics.accuracy(probabilities, truth),
            "eval_macro_f1": metrics.macro_f1(probabilities, truth),
        }
        self.log(measured)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, measured)
        return measured


class _Checkpoints(TrainerCallback):
    """Asks for a checkpoint within the epoch as well, so that a killed run loses minutes and not an epoch."""

    def __init__(self, every: int) -> None:
        self._every = every

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        if state.global_step % self._every == 0:
            control.should_save = True
        return control


class _Console(TrainerCallback):
    """A progress bar where there is a terminal, and a line an epoch, on standard error."""

    def __init__(self) -> None:
        self._bar: Any = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._bar = tqdm(total=state.max_steps, initial=state.global_step, desc="Training", unit=" steps", disable=None)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._bar.update()

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if logs and "loss" in logs:
            self._bar.set_postfix(loss=f"{logs['loss']:.3f}")

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any) -> None:
        tqdm.write(
            f"epoch {state.epoch:.0f} of {args.num_train_epochs:.0f}: validation NLL {metrics['eval_nll']:.3f}, "
            f"accuracy {metrics['eval_accuracy']:.3f}, macro-F1 {metrics['eval_macro_f1']:.3f}",
            file=sys.stderr,
        )

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._bar.close()


def _open_checkpoints(output: Path, recipe: Recipe, data: SplitFolder) -> Path:
    """The folder of checkpoints for `output`; refuses one that another recipe or other data left there."""
    folder = output.with_name(f"{output.name}.checkpoints")
    run = {"recipe": recipe.to_dict(), "manifest_sha256": data.manifest_sha256}
    file = folder / "run.json"
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    if file.is_file() and read_json(file, OutputError) != json.loads(json.dumps(run)):
        raise OutputError(
            f"{folder} belongs to a run with another recipe or other data; remove it, or use another --output."
        )
    write_json(file, run)
    return folder


def _last_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that was written to its end: the Trainer writes its state last."""
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]), reverse=True)
    for path in found:
        try:
            json.loads((path / "trainer_state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            shutil.rmtree(path, ignore_errors=True)
            continue
        return path
    return None
