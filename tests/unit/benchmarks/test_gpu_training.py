"""The GPU's training loop gives model folders that answer, on a CPU too."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import gpu_training
import pytest

from helpers.tiny_models import TINY_SETTINGS
from helpers.training import CPU
from subjectwise.classifier import Classifier
from subjectwise.data.split import open_split
from subjectwise.models.model_config import read_config
from subjectwise.training.average import average
from subjectwise.training.calibrate_model import calibrate


def test_runs_are_written_as_model_folders(
    tiny_base: Path, tiny_model: Path, split_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ["prompt.out_of_scope=false", "training.epochs=2", "training.batch_size=8", *TINY_SETTINGS]
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(f"base: {tiny_base}\nprompt: {{max_tokens: 48}}\nlora: {{r: 16, alpha: 32}}\n")
    arguments = ["--data", split_folder, "--from", tiny_model, "--seeds", "1", "2", "--output", tmp_path / "runs"]
    arguments += ["--mean-with", tiny_model]
    arguments += ["--recipe", recipe, *(part for setting in settings for part in ("--set", setting))]
    monkeypatch.setattr(sys, "argv", ["gpu_training.py", *map(str, arguments)])
    gpu_training.main()

    data = open_split(split_folder)
    truth = [row.label for row in data.examples("train")]
    for seed in ("seed1", "seed2"):
        folder = tmp_path / "runs" / seed
        assert read_config(folder).manifest_sha256 == data.manifest_sha256
        classifier = Classifier.from_pretrained(folder, base=str(tiny_base), device="cpu", dtype="float32")
        assert classifier.score([row.question.text for row in data.examples("train")], truth) > 0.5
    measured = json.loads((tmp_path / "runs" / "runs.json").read_text())["results"]
    assert [row["run"] for row in measured[:3]] == ["seed 1", "seed 2", "mean"] and len(measured) == 5
    average([tmp_path / "runs" / seed for seed in ("seed1", "seed2")], data, tmp_path / "mean", compute=CPU)
    report = read_config(tmp_path / "mean").results["validation"]
    assert measured[2]["accuracy"] == pytest.approx(report["accuracy"], abs=0.03), "the mean is what average makes"
    first, second = (tmp_path / "runs" / seed / "adapter_model.safetensors" for seed in ("seed1", "seed2"))
    assert first.read_bytes() != second.read_bytes()

    hurried = [tmp_path / "hurried" if part == tmp_path / "runs" else part for part in arguments]
    monkeypatch.setattr(sys, "argv", ["gpu_training.py", *map(str, hurried), "--minutes", "0"])
    gpu_training.main()
    assert not (tmp_path / "hurried" / "seed2").exists(), "the first is always run"
    assert " --seeds 1 --set" in read_config(tmp_path / "hurried" / "mean").results["commands"][0], "what did run"

    calibrate(tmp_path / "runs" / "mean", data, compute=CPU)
    command, calibrated = read_config(tmp_path / "runs" / "mean").results["commands"]
    assert command.startswith("python benchmarks/gpu_training.py --data split --from MODEL --seeds 1 2 --set")
    assert calibrated == "subjectwise calibrate runs/mean --data split" and str(tmp_path) not in command
    card = (tmp_path / "runs" / "mean" / "README.md").read_text()
    assert command in card and calibrated in card and "subjectwise train" not in card
