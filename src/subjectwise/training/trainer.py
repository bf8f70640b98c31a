"""transformers' Trainer with our batches, our loss, our validation and our checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from subjectwise.errors import RecipeError
from subjectwise.recipe import TrainingSettings
from subjectwise.training.batch_order import LengthBatches
from subjectwise.training.callbacks import Checkpoints, EpochOrder, StopWithoutImprovement
from subjectwise.training.loss_module import LossModule, load_trained_weights, save_trained_weights
from subjectwise.training.processes import Processes
from subjectwise.types import LanguageModel


def make_trainer(report_to: Sequence[str], run: TrainerRun, callbacks: Sequence[TrainerCallback]) -> BatchTrainer:
    """Build the trainer; raise RecipeError where a target of `report_to` is unknown or not installed."""
    try:
        return BatchTrainer(run, callbacks)
    except (ImportError, RuntimeError, ValueError) as error:
        if not report_to:
            raise
        reason = " ".join(str(error).split())[:200]
        raise RecipeError(f"Cannot report metrics to {', '.join(report_to)}: {reason}") from error


@dataclass(frozen=True)
class TrainerRun:
    """What a trainer trains, on what and how.

    Attributes:
        model: to train.
        loss: of the model and a batch of `rows`.
        rows: to train on.
        batches: their order.
        measure: measures the model as it is now on validation rows; what it returns has the `nll` that chooses the
            epoch. It is called in evaluation mode, without gradients, under autocast.
        args: of transformers' Trainer.
        settings: when to stop and how often to keep a checkpoint.
        processes: of the run.
    """

    model: LanguageModel
    loss: Callable[[LanguageModel, Sequence[Any]], Tensor]
    rows: Dataset[Any]
    batches: LengthBatches
    measure: Callable[[], Mapping[str, float]]
    args: TrainingArguments
    settings: TrainingSettings
    processes: Processes


class BatchTrainer(Trainer):
    """transformers' Trainer of a `TrainerRun`, with callbacks beside our own."""

    control: Any

    def __init__(self, run: TrainerRun, callbacks: Sequence[TrainerCallback]) -> None:
        ours = [
            EpochOrder(run.batches),
            StopWithoutImprovement(run.settings.patience),
            Checkpoints(run.settings.checkpoint_steps),
        ]
        super().__init__(
            model=LossModule(run.model, run.loss),
            args=run.args,
            train_dataset=run.rows,
            eval_dataset=run.rows,
            callbacks=[*ours, *callbacks],
        )
        self.remove_callback(PrinterCallback)
        self.model_accepts_loss_kwargs = False  # the loss is a mean over one batch, so accumulation divides it
        self._run = run

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Return the batches of this process. accelerate would deal them out by itself, and lose rows at that."""
        run = self._run
        return DataLoader(run.rows, batch_sampler=run.batches, collate_fn=lambda rows: {"batch": rows})

    def compute_loss(self, model: Any, inputs: Mapping[str, Any], *args: Any, **kwargs: Any) -> Tensor:
        """Return the loss of a batch."""
        loss: Tensor = model(batch=inputs["batch"])
        return loss

    def floating_point_ops(self, inputs: Mapping[str, Any]) -> int:
        """Return 0: the Trainer's estimate asks for padded inputs."""
        return 0

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Measure the validation rows; all processes go by what the first one measures."""
        model, compiled = self._run.model, self._run.settings.compile
        eager: AbstractContextManager[Any] = torch.compiler.set_stance("force_eager") if compiled else nullcontext()
        model.eval()
        with torch.no_grad(), eager, self.compute_loss_context_manager():
            values = self._run.measure()
        model.train()
        measured = self._run.processes.broadcast({f"eval_{name}": value for name, value in values.items()})
        self.log(measured)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, measured)
        return measured

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        """Write the trained weights of a checkpoint."""
        if self.args.should_save:
            folder = Path(output_dir or self.args.output_dir)
            folder.mkdir(parents=True, exist_ok=True)
            save_trained_weights(self._run.model, folder)

    def _save_rng_state(self, output_dir: str) -> None:
        super()._save_rng_state(output_dir)
        # The Trainer's state, by which a checkpoint counts as complete, is written after all of these.
        self._run.processes.gather(None)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        load_trained_weights(self._run.model, Path(resume_from_checkpoint))

    def _load_best_model(self) -> None:
        load_trained_weights(self._run.model, Path(str(self.state.best_model_checkpoint)))


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
