"""The log alone says when a run stops; the console says what a step consists of."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from subjectwise.training.batch_order import LengthBatches
from subjectwise.training.callbacks import Checkpoints, Console, EpochOrder, StopWithoutImprovement, has_stopped


def history(*values: float) -> list[dict[str, Any]]:
    return [entry for value in values for entry in ({"loss": 1.0}, {"eval_nll": value})]


@pytest.mark.parametrize(
    ("values", "patience", "stopped"),
    [
        ((), 1, False),
        ((3.0,), 1, False),
        ((3.0, 2.0, 1.0), 1, False),
        ((3.0, 3.0), 1, True),
        ((1.0, 2.0), 2, False),
        ((1.0, 2.0, 1.5), 2, True),
        ((1.0, 2.0, 0.5, 0.7), 2, False),
    ],
)
def test_it_stops_after_epochs_without_a_lower_nll(values: tuple[float, ...], patience: int, stopped: bool) -> None:
    assert has_stopped(history(*values), patience) == stopped
    control = SimpleNamespace(should_training_stop=False)
    StopWithoutImprovement(patience).on_evaluate(None, SimpleNamespace(log_history=history(*values)), control)
    assert control.should_training_stop == stopped


def test_the_batches_are_those_of_the_epoch_that_begins() -> None:
    batches = LengthBatches(np.full((2, 40), 5), 8, 0.0, seed=1)
    for epoch, expected in ((0, 0), (1.25, 1), (2.0, 2)):
        EpochOrder(batches).on_epoch_begin(None, SimpleNamespace(epoch=epoch), None)
        assert batches.epoch == expected


@pytest.mark.parametrize(("step", "epoch", "saved"), [(3, 0.5, True), (4, 0.6, False), (6, 1.0, False)])
def test_checkpoints_are_written_within_an_epoch(step: int, epoch: float, saved: bool) -> None:
    control = SimpleNamespace(should_save=False)
    Checkpoints(3).on_step_end(None, SimpleNamespace(global_step=step, epoch=epoch), control)
    assert control.should_save == saved


@pytest.mark.parametrize(
    ("accumulation", "processes", "expected"),
    [
        (1, 1, "96 rows, 8 per step (8 per batch), learning rate 0.01, 24 steps in 2 epochs"),
        (2, 4, "96 rows, 64 per step (8 per batch x 2 batches x 4 processes), learning rate 0.01, 24 steps in 2"),
    ],
)
def test_the_effective_batch_and_learning_rate_are_said(
    accumulation: int, processes: int, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    args = SimpleNamespace(
        per_device_train_batch_size=8, gradient_accumulation_steps=accumulation, learning_rate=1e-2, num_train_epochs=2
    )
    console = Console(96, processes)
    console.on_train_begin(args, SimpleNamespace(max_steps=24, global_step=0), None)
    console.on_train_end(args, None, None)
    assert capsys.readouterr().err.startswith(expected)
