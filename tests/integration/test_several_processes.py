"""Two real processes, joined by gloo: they train one model, resume it, and end together."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from helpers.folders import read

pytestmark = pytest.mark.slow  # 15 to 40 s each: every process imports PyTorch and trains; see also the unit tests

# `subjectwise`, with a fault in one of the processes: FAULT is "kill STEP", "error STEP" or "load".
FAULTY = """
import os, signal, sys
from transformers import TrainerCallback
from subjectwise.cli.app import main
from subjectwise.errors import BaseModelError
from subjectwise.training import train as train_module

kind, _, step = os.environ.get("FAULT", "").partition(" ")
if os.environ["RANK"] == "1" and kind == "load":
    def fail(*args):
        raise BaseModelError("the disk of process 1 is gone.")
    train_module.label_task = fail
elif os.environ["RANK"] == "1" and kind:
    class Fault(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step == int(step):
                if kind == "kill":
                    os.kill(os.getpid(), signal.SIGKILL)
                raise BaseModelError("process 1 has lost its model.")
    make_trainer = train_module.make_trainer
    train_module.make_trainer = lambda report_to, run, callbacks: make_trainer(report_to, run, [*callbacks, Fault()])
main()
"""
SETTINGS = ("training.epochs=3", "training.batch_size=4", "training.checkpoint_steps=2", "lora.dropout=0.1")


def launch(folder: Path, arguments: Sequence[str | Path], fault: str = "") -> subprocess.CompletedProcess[str]:
    script = folder / "faulty.py"
    script.write_text(FAULTY)
    command = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    return run_module([*command, *arguments], FAULT=fault)


def run_module(arguments: Sequence[str | Path], **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)


def command(split_folder: Path, base: Path, output: Path, *more: str) -> list[str | Path]:
    settings = [part for setting in SETTINGS for part in ("--set", setting)]
    return [
        "train", "small", "--data", split_folder, "--base", base, "--output", output, "--device", "cpu", "--dtype",
        "float32", *settings, *more,
    ]  # fmt: skip


def test_they_train_one_model_and_one_of_them_prints(tmp_path: Path, tiny_base: Path, split_folder: Path) -> None:
    output = tmp_path / "m"
    finished = launch(tmp_path, command(split_folder, tiny_base, output, "--json"))
    assert finished.returncode == 0, finished.stderr
    assert json.loads(finished.stdout)["epochs"] == 3, "one JSON object, and nothing else"
    lines = finished.stderr.splitlines()
    assert len([line for line in lines if line.startswith("epoch ")]) == 3
    (said,) = [line for line in lines if " per step" in line]
    assert said.startswith("57 rows, 8 per step (4 per batch x 2 processes), learning rate")
    assert len(read(output / "subjectwise.json")["results"]["epochs"]) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["faulty.py", "m"]


def test_accelerate_starts_them(tmp_path: Path, tiny_base: Path, split_folder: Path) -> None:
    # Not with --cpu, which starts a single process on one machine, whatever --num_processes says.
    launcher = [
        "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1",
        "--main_process_port", "0", "--mixed_precision", "no", "--dynamo_backend", "no", "-m", "subjectwise.cli.app",
    ]  # fmt: skip
    finished = run_module([*launcher, *command(split_folder, tiny_base, tmp_path / "m")])
    assert finished.returncode == 0, finished.stderr
    assert "57 rows, 8 per step (4 per batch x 2 processes), learning rate" in finished.stderr
    assert (tmp_path / "m" / "adapter_model.safetensors").exists()


def test_killed_and_resumed_they_end_with_the_same_weights(tmp_path: Path, tiny_base: Path, split_folder: Path) -> None:
    whole = launch(tmp_path, command(split_folder, tiny_base, tmp_path / "whole"))
    assert whole.returncode == 0, whole.stderr
    killed = launch(tmp_path, command(split_folder, tiny_base, tmp_path / "killed"), fault="kill 11")
    assert killed.returncode != 0 and not (tmp_path / "killed").exists()
    assert list((tmp_path / "killed.checkpoints").glob("checkpoint-*"))
    resumed = launch(tmp_path, command(split_folder, tiny_base, tmp_path / "killed"))
    assert resumed.returncode == 0, resumed.stderr
    first, second = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("whole", "killed"))
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name
    results = [read(tmp_path / name / "subjectwise.json")["results"] for name in ("whole", "killed")]
    assert results[0]["validation"] == results[1]["validation"] and results[1]["cost"]["resumed"]


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [("load", "the disk of process 1 is gone."), ("error 5", "process 1 has lost its model.")],
)
def test_an_error_in_one_ends_all_with_one_sentence(
    tmp_path: Path, tiny_base: Path, split_folder: Path, fault: str, sentence: str
) -> None:
    finished = launch(tmp_path, command(split_folder, tiny_base, tmp_path / "m"), fault=fault)
    assert finished.returncode != 0 and not (tmp_path / "m").exists()
    assert [line for line in finished.stderr.splitlines() if line.startswith("Error: ")] == [f"Error: {sentence}"]
    assert finished.stderr.count("Traceback") == 1, "the launcher's own report"


def test_an_error_in_all_is_said_once(tmp_path: Path, tiny_base: Path, split_folder: Path) -> None:
    finished = launch(tmp_path, command(tmp_path / "nowhere", tiny_base, tmp_path / "m"))
    assert finished.returncode != 0
    (line,) = [line for line in finished.stderr.splitlines() if line.startswith("Error: ")]
    assert "is not a split folder" in line
