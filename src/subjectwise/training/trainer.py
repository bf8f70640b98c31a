"""transformers' Trainer with our batches, our loss and our validation, and its progress on the console."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import MethodType
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm
from transformers import EarlyStoppingCallback, PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from subjectwise.errors import RecipeError
from subjectwise.recipe import Recipe, TrainingSettings
from subjectwise.records import Example
from subjectwise.statistics import metrics
from subjectwise.statistics.calibration import apply_temperature, fit_temperature
from subjectwise.training.batch_order import LengthBatches
from subjectwise.training.calibrate_model import score_examples
from subjectwise.training.tasks import Task
from subjectwise.utils.progress import ProgressBar, progress_bar

# The share of the rows that an epoch shows with noise, under `training.augment`.
NOISY_SHARE = 0.5


def make_trainer(report_to: Sequence[str], **options: Any) -> LabelTrainer:
    """Build the trainer; raise RecipeError where a target of `report_to` is unknown or not installed."""
    try:
        return LabelTrainer(**options)
    except (ImportError, RuntimeError, ValueError) as error:
        if not report_to:
            raise
        reason = " ".join(str(error).split())[:200]
        raise RecipeError(f"Cannot report metrics to {', '.join(report_to)}: {reason}") from error


class LabelTrainer(Trainer):
    """The Trainer with our batches, our loss and our validation."""

    control: Any

    def __init__(
        self,
        *,
        task: Task,
        args: TrainingArguments,
        validation: Sequence[Example],
        recipe: Recipe,
        progress: bool,
        callbacks: Sequence[TrainerCallback],
    ) -> None:
        settings, model, rows = recipe.training, task.base.model, task.rows
        # DDP synchronises gradients only for calls through `forward`, so the loss is computed there.
        setattr(model, "forward", MethodType(lambda model, batch: task.loss(model, batch), model))  # noqa: B010
        ours = [EarlyStoppingCallback(settings.patience), _Checkpoints(settings.checkpoint_steps), *callbacks]
        super().__init__(model=model, args=args, train_dataset=rows, eval_dataset=rows, callbacks=ours)
        self.remove_callback(PrinterCallback)
        self.model_accepts_loss_kwargs = False  # the loss is a mean over one batch, so accumulation divides it
        self._task, self._validation, self._recipe, self._progress = task, validation, recipe, progress

    def get_train_dataloader(self) -> DataLoader[Any]:
        settings, rows = self._recipe.training, self._task.rows
        share = 1.0 if self._recipe.prompt.with_options else settings.options_share
        noisy = 0.0 if settings.augment == "none" else NOISY_SHARE
        batches = LengthBatches(rows.lengths, settings.batch_size, share, settings.seed, noisy)
        loader: DataLoader[Any] = DataLoader(rows, batch_sampler=batches, collate_fn=lambda rows: {"batch": rows})
        prepared: DataLoader[Any] = self.accelerator.prepare(loader)
        return prepared

    def compute_loss(self, model: Any, inputs: Mapping[str, Any], *args: Any, **kwargs: Any) -> Tensor:
        loss: Tensor = model(batch=inputs["batch"])
        return loss

    def floating_point_ops(self, inputs: Mapping[str, Any]) -> int:
        return 0  # the Trainer's estimate asks for padded inputs

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Measure NLL, accuracy and macro-F1 on the validation rows, through the scoring that answers.

        The NLL that chooses the epoch is the one after a temperature is fitted, as it is before the model answers:
        a later epoch that is more often right and merely overconfident is the better one.
        """
        model = self.accelerator.unwrap_model(self.model)
        eager: AbstractContextManager[Any] = (
            torch.compiler.set_stance("force_eager") if self._recipe.training.compile else nullcontext()
        )
        model.eval()
        with torch.no_grad(), eager, self.compute_loss_context_manager():
            scores, truth = score_examples(
                self._task.scorer(), self._validation, self._recipe.prompt.with_options, progress=self._progress
            )
        model.train()
        temperature = fit_temperature(scores.log_probs, truth)
        probabilities = apply_temperature(scores.log_probs, temperature)
        measured = {
            "eval_temperature": temperature,
            "eval_nll": metrics.nll(probabilities, truth),
            "eval_accuracy": metrics.accuracy(probabilities, truth),
            "eval_macro_f1": metrics.macro_f1(probabilities, truth),
        }
        self.log(measured)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, measured)
        return measured


def training_arguments(
    settings: TrainingSettings, folder: Path, precision: torch.dtype, on_cpu: bool, report_to: Sequence[str]
) -> TrainingArguments:
    """Return the settings of transformers' Trainer."""
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
        bf16=precision == torch.bfloat16,
        fp16=precision == torch.float16,
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
        disable_tqdm=True,  # its bar and its metrics go to standard output, which is for results
    )


class _Checkpoints(TrainerCallback):
    """Requests checkpoints within the epoch as well, so that a killed run loses minutes and not an epoch."""

    def __init__(self, every: int) -> None:
        self._every = every

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        # At the end of an epoch the Trainer saves after evaluating; a checkpoint of the same step before that would let
        # a run that is killed in between resume without the epoch's evaluation.
        if state.global_step % self._every == 0 and not float(state.epoch).is_integer():
            control.should_save = True
        return control


class Console(TrainerCallback):
    """Progress, and one line per epoch, on standard error."""

    _bar: ProgressBar

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._bar = progress_bar("Training", state.max_steps, "steps", done=state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._bar.update()

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if logs and "loss" in logs:
            self._bar.set_postfix(loss=f"{logs['loss']:.3f}", refresh=False)  # a refresh would be a line in a log

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any) -> None:
        tqdm.write(
            f"epoch {state.epoch:.0f} of {args.num_train_epochs:.0f}: validation NLL {metrics['eval_nll']:.3f}, "
            f"accuracy {metrics['eval_accuracy']:.3f}, macro-F1 {metrics['eval_macro_f1']:.3f}",
            file=sys.stderr,
        )

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._bar.close()
