"""Reports are kept by the model folder that they were measured with."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from subjectwise.classifier import Classifier
from subjectwise.data.split import open_split
from subjectwise.errors import DataError
from subjectwise.evaluation.add_report import add_report
from subjectwise.evaluation.evaluate import evaluate, split_rows
from subjectwise.evaluation.report_files import write_evaluation
from subjectwise.models.model_config import read_config
from subjectwise.publish.model_card import render_card


@pytest.fixture
def folder(tiny_model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


@pytest.fixture(scope="module")
def reports(tiny_model: Path, split_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    classifier = Classifier.from_pretrained(tiny_model, device="cpu", dtype="float32")
    parent = tmp_path_factory.mktemp("reports")
    command = f"subjectwise evaluate {parent / 'model'} --data 'my split' --output {parent / 'test'}"
    rows = split_rows(open_split(split_folder))
    for name, with_options in (("test", False), ("options", True)):
        evaluation = evaluate(classifier, rows, command=command, with_options=with_options)
        write_evaluation(parent / name, evaluation.report, evaluation.predictions)
    return parent


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def test_a_report_is_kept_once(folder: Path, reports: Path) -> None:
    for _ in range(2):
        changed = add_report(folder, reports / "test")
    [kept] = changed.results["reports"]
    report = read(reports / "test/report.json")
    assert (kept["data"], kept["metrics"]) == (report["data"], report["metrics"])
    assert kept["reliability"] == report["calibration"]["after"]["reliability"]
    assert kept["before"] == report["calibration"]["before"]["ece"]
    assert kept["perfect_ece_p95"] == report["calibration"]["perfect_ece_p95"]
    lowest = [report["per_class"][row["label"]]["f1"] for row in kept["weakest"]]
    assert lowest == sorted(row["f1"] for row in report["per_class"].values())[:3]
    assert read(folder / "subjectwise.json")["results"]["reports"] == [kept]
    add_report(folder, reports / "options")
    assert len(read_config(folder).results["reports"]) == 2
    assert Classifier.from_pretrained(folder, device="cpu").classify("What is a photon?").label


def test_a_kept_command_has_no_path_of_this_machine(folder: Path, reports: Path) -> None:
    [kept] = add_report(folder, reports / "test").results["reports"]
    assert kept["command"] == "subjectwise evaluate model --data 'my split' --output test"


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("evaluate cascade:/home/ann/m+/home/ann/m --data=/home/ann/split -o/home/ann/r",
         "evaluate cascade:m+m --data=split -or"),
        ("evaluate zero-shot:owner/base --data rows/test", "evaluate zero-shot:owner/base --data rows/test"),
        ("evaluate 'C:\\Users\\ann\\my model'", "evaluate 'my model'"),
    ],
)  # fmt: skip
def test_paths_of_this_machine_within_words(folder: Path, reports: Path, tmp_path: Path, typed: str, kept: str) -> None:
    other = Path(shutil.copytree(reports / "test", tmp_path / "other"))
    (other / "report.json").write_text(json.dumps({**read(other / "report.json"), "command": typed}))
    assert add_report(folder, other).results["reports"][0]["command"] == kept


def test_another_prior_or_fewer_rows_are_another_report(folder: Path, reports: Path, tmp_path: Path) -> None:
    add_report(folder, reports / "test")
    content = read(reports / "test/report.json")
    for changes in ({"prior_correction": "match"}, {"rows": 5}):
        other = Path(shutil.copytree(reports / "test", tmp_path / "-".join(changes)))
        (other / "report.json").write_text(json.dumps({**content, "data": {**content["data"], **changes}}))
        add_report(folder, other)
    assert len(read_config(folder).results["reports"]) == 3
    assert "prior correction match" in render_card(read_config(folder))


def test_reports_that_are_refused(folder: Path, reports: Path, tmp_path: Path) -> None:
    before = (folder / "subjectwise.json").read_text()
    with pytest.raises(DataError, match="Cannot read"):
        add_report(folder, tmp_path)
    pair = Path(shutil.copytree(reports / "test", tmp_path / "pair"))
    (pair / "report.json").write_text(json.dumps({**read(pair / "report.json"), "predictor": "cascade:a+b"}))
    with pytest.raises(DataError, match="was measured with a cascade"):
        add_report(folder, pair)
    other = Path(shutil.copytree(reports / "test", tmp_path / "other"))
    content = read(other / "report.json")
    (other / "report.json").write_text(json.dumps({**content, "model_sha256": "0" * 64}))
    with pytest.raises(DataError, match="measured with another model"):
        add_report(folder, other)
    del content["model_sha256"]
    (other / "report.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match="measured with another model"):
        add_report(folder, other)
    del content["metrics"]
    (other / "report.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match="is damaged: metrics is missing"):
        add_report(folder, other)
    assert (folder / "subjectwise.json").read_text() == before
