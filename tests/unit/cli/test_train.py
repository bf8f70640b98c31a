"""`subjectwise train`: results on standard output, what else there is to say on standard error."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from helpers.commands import refused, run_command
from helpers.folders import read

SETTINGS = ["--set", "training.epochs=1", "--device", "cpu", "--dtype", "float32"]


def test_a_small_validation_is_a_warning(tmp_path: Path, tiny_base: Path, rows_file: Path) -> None:
    lines = rows_file.read_text(encoding="utf-8").splitlines()
    (tmp_path / "sixty.jsonl").write_text("\n".join(lines[:60]), encoding="utf-8")  # three of the four labels
    finished = run_command("data", "split", "--source", tmp_path / "sixty.jsonl", "--output", tmp_path / "split")
    assert finished.returncode == 0, finished.stderr
    finished = run_command(
        "train", "small", "--data", tmp_path / "split", "--base", tiny_base, "--output", tmp_path / "m", *SETTINGS
    )
    assert finished.returncode == 0, finished.stderr
    rows = read(tmp_path / "split/manifest.json")["splits"]["validation"]["rows"]
    assert rows <= 13
    (warning,) = [line for line in finished.stderr.splitlines() if line.startswith("Warning: ")]
    assert f"{rows} validation rows are too few to know how sure the model may be" in warning
    assert finished.stdout.splitlines()[1].startswith("Next: subjectwise classify --model ")
    finished = run_command("calibrate", tmp_path / "m", "--data", tmp_path / "split", "--json")
    assert json.loads(finished.stdout)["rows"] == rows and "Warning: " in finished.stderr


def test_the_result_as_json(tmp_path: Path, tiny_base: Path, split_folder: Path) -> None:
    output = tmp_path / "m"
    finished = run_command(
        "train", "small", "--data", split_folder, "--base", tiny_base, "--output", output, "--json", *SETTINGS
    )
    assert finished.returncode == 0, finished.stderr
    result = json.loads(finished.stdout)
    assert result["folder"] == str(output) and result["epochs"] == 1 and 0 <= result["accuracy"] <= 1
    assert "epoch 1 of 1: validation NLL" in finished.stderr


def test_a_baseline(tmp_path: Path, split_folder: Path) -> None:
    finished = run_command("train", "baseline:majority", "--data", split_folder, "--output", tmp_path / "b", "--json")
    assert finished.returncode == 0 and json.loads(finished.stdout)["folder"] == str(tmp_path / "b")
    refused("train", "baseline:majority", "--data", split_folder, "--output", tmp_path / "b", part="already exists")
    refused(
        "train", "baseline:majority", "--data", split_folder, "--output", tmp_path / "c", "--set", "training.epochs=1",
        part="has no settings but prompt.with_options",
    )  # fmt: skip


@pytest.mark.parametrize("module", ["accelerate", "peft", "subjectwise.training.train"])
def test_without_the_extra_one_sentence_names_it(
    tmp_path: Path, split_folder: Path, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("train", "small", "--data", split_folder, "--output", tmp_path / "m")
    if module.startswith("subjectwise"):  # a library is missing as soon as the module is imported
        monkeypatch.delitem(sys.modules, module, raising=False)
        monkeypatch.setitem(sys.modules, "subjectwise.training.trainer", BrokenModule("torch_of_the_extra"))
        refused(*command, part="This needs torch_of_the_extra, which is not installed; run: pip install")
        return
    monkeypatch.setitem(sys.modules, module, None)
    refused(*command, part=f"This needs {module}, which is not installed; run: pip install 'subjectwise[train]'")


class BrokenModule:
    """A module whose names cannot be imported, since a library is missing."""

    def __init__(self, missing: str) -> None:
        self._missing = missing

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise ModuleNotFoundError(f"No module named {self._missing!r}", name=self._missing)
