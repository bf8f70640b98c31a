"""Callbacks of the Trainer: the epoch's order, checkpoints within it, when to stop, and progress on the console."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from tqdm import tqdm
from transformers import TrainerCallback

from subjectwise.training.batch_order import LengthBatches
from subjectwise.types import JsonObject
from subjectwise.utils.progress import ProgressBar, progress_bar


class EpochOrder(TrainerCallback):
    """Tells the batches which epoch begins, after resuming too."""

    def __init__(self, batches: LengthBatches) -> None:
        self._batches = batches

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Set the epoch."""
        self._batches.set_epoch(int(state.epoch or 0))


class Checkpoints(TrainerCallback):
    """Requests checkpoints within the epoch as well, so that a killed run loses minutes and not an epoch."""

    def __init__(self, every: int) -> None:
        self._every = every

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        """Request a checkpoint."""
        # At the end of an epoch the Trainer saves after evaluating; a checkpoint of the same step before that would let
        # a run that is killed in between resume without the epoch's evaluation.
        if state.global_step % self._every == 0 and not float(state.epoch).is_integer():
            control.should_save = True
        return control


class StopWithoutImprovement(TrainerCallback):
    """Stops after `patience` epochs without a lower validation NLL. The log alone decides, after resuming too."""

    def __init__(self, patience: int) -> None:
        self._patience = patience

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        """Stop where it is time."""
        if has_stopped(state.log_history, self._patience):
            control.should_training_stop = True
        return control


def has_stopped(history: Sequence[JsonObject], patience: int) -> bool:
    """Return whether the last `patience` epochs of a log are no better than one before."""
    values = [entry["eval_nll"] for entry in history if "eval_nll" in entry]
    return len(values) - 1 - values.index(min(values)) >= patience if values else False


class Console(TrainerCallback):
    """What the run does, its progress, and one line per epoch, on standard error.

    Args:
        rows: how many there are to train on.
        processes: in how many it runs.
    """

    _bar: ProgressBar

    def __init__(self, rows: int, processes: int) -> None:
        self._rows, self._processes = rows, processes

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Say what a step consists of, and start the bar."""
        batch, batches = args.per_device_train_batch_size, args.gradient_accumulation_steps
        factors = [f"{batch} per batch"]
        factors += [f"{batches} batches"] if batches > 1 else []
        factors += [f"{self._processes} processes"] if self._processes > 1 else []
        tqdm.write(
            f"{self._rows:,} rows, {batch * batches * self._processes} per step ({' x '.join(factors)}), "
            f"learning rate {args.learning_rate:g}, {state.max_steps:,} steps in {args.num_train_epochs:.0f} epochs",
            file=sys.stderr,
        )
        self._bar = progress_bar("Training", state.max_steps, "steps", done=state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Move the bar."""
        self._bar.update()

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Show the loss at the end of the bar."""
        if logs and "loss" in logs:
            self._bar.set_postfix(loss=f"{logs['loss']:.3f}", refresh=False)  # a refresh would be a line in a log

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any) -> None:
        """Write the line of an epoch."""
        tqdm.write(
            f"epoch {state.epoch:.0f} of {args.num_train_epochs:.0f}: validation NLL {metrics['eval_nll']:.3f}, "
            f"accuracy {metrics['eval_accuracy']:.3f}, macro-F1 {metrics['eval_macro_f1']:.3f}",
            file=sys.stderr,
        )

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Finish the bar."""
        self._bar.close()
