"""transformers' Trainer with our batches, our loss, our validation and our checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from subjectwise.errors import RecipeError
from subjectwise.recipe import Recipe, TrainingSettings
from subjectwise.records import Example
from subjectwise.statistics import metrics
from subjectwise.statistics.calibration import apply_temperature, fit_temperature
from subjectwise.training.batch_order import LengthBatches
from subjectwise.training.calibrate_model import score_examples
from subjectwise.training.callbacks import Checkpoints, EpochOrder, StopWithoutImprovement
from subjectwise.training.loss_module import LossModule, load_trained_weights, save_trained_weights
from subjectwise.training.processes import Processes
from subjectwise.training.tasks import Task

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
    """The Trainer of a task.

    Args:
        task: what is trained.
        args: of the Trainer.
        validation: rows that choose the epoch; each process scores its part of them.
        recipe: of the run.
        processes: of the run.
        progress: whether to show that of validation.
        callbacks: beside our own.
    """

    control: Any

    def __init__(
        self,
        *,
        task: Task,
        args: TrainingArguments,
        validation: Sequence[Example],
        recipe: Recipe,
        processes: Processes,
        progress: bool,
        callbacks: Sequence[TrainerCallback],
    ) -> None:
        settings, rows = recipe.training, task.rows
        self._batches = LengthBatches(
            rows.lengths,
            settings.batch_size,
            1.0 if recipe.prompt.with_options else settings.options_share,
            settings.seed,
            0.0 if settings.augment == "none" else NOISY_SHARE,
            rank=processes.rank,
            processes=processes.count,
        )
        ours = [
            EpochOrder(self._batches),
            StopWithoutImprovement(settings.patience),
            Checkpoints(settings.checkpoint_steps),
        ]
        super().__init__(
            model=LossModule(task.base.model, task.loss),
            args=args,
            train_dataset=rows,
            eval_dataset=rows,
            callbacks=[*ours, *callbacks],
        )
        self.remove_callback(PrinterCallback)
        self.model_accepts_loss_kwargs = False  # the loss is a mean over one batch, so accumulation divides it
        self._task, self._validation, self._recipe = task, validation, recipe
        self._processes, self._progress = processes, progress

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Return the batches of this process. accelerate would deal them out by itself, and lose rows at that."""
        rows = self._task.rows
        return DataLoader(rows, batch_sampler=self._batches, collate_fn=lambda rows: {"batch": rows})

    def compute_loss(self, model: Any, inputs: Mapping[str, Any], *args: Any, **kwargs: Any) -> Tensor:
        """Return the loss of a batch."""
        loss: Tensor = model(batch=inputs["batch"])
        return loss

    def floating_point_ops(self, inputs: Mapping[str, Any]) -> int:
        """Return 0: the Trainer's estimate asks for padded inputs."""
        return 0

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Measure NLL, accuracy and macro-F1 on the validation rows, through the scoring that answers.

        The NLL that chooses the epoch is the one after a temperature is fitted, as it is before the model answers:
        a later epoch that is more often right and merely overconfident is the better one. Each process scores its part
        of the rows; all go by what the first one measures.
        """
        model, processes = self._task.base.model, self._processes
        eager: AbstractContextManager[Any] = (
            torch.compiler.set_stance("force_eager") if self._recipe.training.compile else nullcontext()
        )
        model.eval()
        with torch.no_grad(), eager, self.compute_loss_context_manager():
            scores, truth = score_examples(
                self._task.scorer(),
                processes.share(self._validation),
                self._recipe.prompt.with_options,
                progress=self._progress and processes.is_first,
            )
        model.train()
        parts = processes.gather((scores.log_probs, truth))
        log_probs, labels = (np.concatenate(part) for part in zip(*parts, strict=True))
        temperature = fit_temperature(log_probs, labels)
        probabilities = apply_temperature(log_probs, temperature)
        measured = processes.broadcast(
            {
                "eval_temperature": temperature,
                "eval_nll": metrics.nll(probabilities, labels),
                "eval_accuracy": metrics.accuracy(probabilities, labels),
                "eval_macro_f1": metrics.macro_f1(probabilities, labels),
            }
        )
        self.log(measured)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, measured)
        return measured

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        """Write the trained weights of a checkpoint."""
        if self.args.should_save:
            folder = Path(output_dir or self.args.output_dir)
            folder.mkdir(parents=True, exist_ok=True)
            save_trained_weights(self._task.base.model, folder)

    def _save_rng_state(self, output_dir: str) -> None:
        super()._save_rng_state(output_dir)
        self._processes.gather(
            None
        )  # the state, by which a checkpoint counts as complete, is written after all of them

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        load_trained_weights(self._task.base.model, Path(resume_from_checkpoint))

    def _load_best_model(self) -> None:
        load_trained_weights(self._task.base.model, Path(str(self.state.best_model_checkpoint)))


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
