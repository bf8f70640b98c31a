"""A fast model is trained into a model folder, and every command takes the cascade."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers.commands import refused, run_command
from helpers.fast_models import SMALL
from helpers.folders import copy_folder
from subjectwise.baselines.cascade import Cascade
from subjectwise.classifier import Classifier
from subjectwise.data.split import SplitFolder, open_split
from subjectwise.errors import DataError, ModelFolderError, OutputError
from subjectwise.models.devices import Compute
from subjectwise.models.fast_model import CONFIG_FILE, WEIGHTS_FILE, FastModel, load_fast_model, save_fast_model
from subjectwise.models.model_config import FAST_FOLDER
from subjectwise.predictors import load_classifier_to_export, load_predictor, predictor_files_sha256, split_cascade
from subjectwise.publish.hub import plan_upload
from subjectwise.statistics.cascade import NEVER, Promise
from subjectwise.training.train_fast import FastResult, train_fast

CPU = Compute("cpu", "float32")
QUESTION = "Explain the enzyme in terms of the organ."


@pytest.fixture(scope="module")
def data(split_folder: Path) -> SplitFolder:
    return open_split(split_folder)


@pytest.fixture(scope="module")
def trained(tiny_model: Path, data: SplitFolder, tmp_path_factory: pytest.TempPathFactory) -> FastResult:
    output = tmp_path_factory.mktemp("fast") / "model"
    return train_fast(tiny_model, data, output, settings=SMALL, compute=CPU, progress=False)


@pytest.fixture(scope="module")
def folder(trained: FastResult, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained folder with a gate that some questions pass: too few rows choose one that keeps a promise."""
    copy = copy_folder(trained.folder, tmp_path_factory.mktemp("open") / "model")
    fast = load_fast_model(copy / FAST_FOLDER)
    promises = {**fast.config.promises, "1": Promise(0.5)}
    save_fast_model(copy / FAST_FOLDER, FastModel(replace(fast.config, promises=promises), fast.weights))
    return copy


def test_the_folder_has_a_fast_model_and_answers_as_before(
    tiny_model: Path, trained: FastResult, data: SplitFolder
) -> None:
    fast = load_fast_model(trained.folder / FAST_FOLDER)
    plain, same = (Classifier.from_pretrained(path, device="cpu") for path in (tiny_model, trained.folder))
    assert plain.classify(QUESTION) == same.classify(QUESTION)
    assert fast.config.model_sha256 == plain.weights_sha256 and fast.config.manifest_sha256 == data.manifest_sha256
    assert set(fast.config.promises) == {"0", "1", NEVER} and fast.config.promises[NEVER].min_confidence is None
    rows = data.examples("validation")
    texts = [row.question.text for row in rows]
    best = fast.answer(texts).probabilities.argmax(axis=1)
    right = np.mean([fast.labels.names[i] == row.label for i, row in zip(best, rows, strict=True)])
    assert right > 0.9 and fast.config.results["known"]["fast"]["accuracy"] == pytest.approx(right)  # type: ignore[index]
    assert trained.rows == len(data.examples("train")) and trained.validation_rows == len(rows)
    files = plan_upload(trained.folder, "someone/model").files
    assert {f"{FAST_FOLDER}/{CONFIG_FILE}", f"{FAST_FOLDER}/{WEIGHTS_FILE}"} <= set(files)


def test_what_cannot_be_trained_is_refused(tiny_model: Path, data: SplitFolder, trained: FastResult) -> None:
    with pytest.raises(OutputError, match="already exists"):
        train_fast(tiny_model, data, trained.folder)
    other = replace(data, manifest={**data.manifest, "labels": ["law", "physics"]})
    with pytest.raises(DataError, match="has other labels than"):
        train_fast(tiny_model, other, trained.folder.parent / "new")


def test_a_cascade_by_name(folder: Path, tiny_model: Path) -> None:
    cascade = load_predictor(f"cascade-1:{folder}+{tiny_model}", compute=CPU)
    assert isinstance(cascade, Cascade) and not cascade.warning and cascade.labels == cascade.fast.labels
    assert cascade.classify(QUESTION).answered_by in ("fast", "model")
    plain = Classifier.from_pretrained(folder, device="cpu", dtype="float32")
    assert Cascade.load(plain, folder, "1").classify(QUESTION) == cascade.classify(QUESTION)
    name = f"cascade:{folder}+{tiny_model}"
    assert predictor_files_sha256(name).startswith(predictor_files_sha256(str(tiny_model)))
    assert predictor_files_sha256(name) != predictor_files_sha256(name.replace("cascade", "cascade-1", 1))
    other = load_predictor(name, compute=CPU)
    assert other.description_sha256 not in ("", cascade.description_sha256)
    assert split_cascade(name) == (str(folder), str(tiny_model))
    assert split_cascade("cascade:a+zero-shot:b+c") == ("a", "zero-shot:b+c")
    for wrong in ("cascade:", f"cascade:{folder}", "cascade:+shipped"):
        with pytest.raises(DataError, match=r"needs two predictors: cascade:FAST\+MODEL"):
            load_predictor(wrong)
    with pytest.raises(ModelFolderError, match="has no fast model; train one with"):
        load_predictor(f"cascade:{tiny_model}+{tiny_model}", compute=CPU)
    with pytest.raises(ModelFolderError, match="a cascade is not a single language model"):
        load_classifier_to_export(f"cascade-1:{folder}+{tiny_model}")


def test_commands_take_it(folder: Path, tiny_model: Path, split_folder: Path, tmp_path: Path) -> None:
    def classify(*arguments: str | Path) -> dict[str, object]:
        answer = run_command("classify", "--model", folder, *arguments, "--json", "--", QUESTION)
        assert answer.returncode == 0, answer.stderr
        result: dict[str, object] = json.loads(answer.stdout)
        return result

    assert classify("--fast", "--fast-loss", "1")["answered_by"] == "fast"
    assert classify("--fast", "--fast-loss", "1", "--explain")["answered_by"] == "model"
    assert "answered_by" not in classify()
    text = run_command("classify", "--model", folder, "--fast", "--fast-loss", "1", QUESTION).stdout
    assert "answered by the fast model" in text
    # A file, with a column that says it.
    source, target = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text(f"question\n{QUESTION}\nqqqq zzzz?\n")
    done = run_command("classify", "--model", folder, "--fast", "--fast-loss", "1", "-i", source, "-o", target)
    assert done.returncode == 0, done.stderr
    lines = target.read_text().splitlines()
    assert "answered_by" in lines[0] and ",fast" in lines[1] and ",model" in lines[2]
    # A report.
    name = f"cascade-1:{folder}+{folder}"
    report = tmp_path / "report"
    done = run_command("evaluate", name, "--data", split_folder, "--output", report)
    assert done.returncode == 0, done.stderr
    assert (report / "report.json").is_file()
    # What does not go together.
    refused("classify", "--fast", "--model", tiny_model, QUESTION, part="has no fast model")
    refused("classify", "--fast-loss", "1", QUESTION, part="--fast-loss needs --fast")
    refused("classify", "--fast", "--fast-loss", "5", QUESTION, part="Unknown loss of accuracy '5'")
    refused("export", name, tmp_path / "onnx", "--to", "onnx", part="a cascade is not a single language model")


def test_the_command_trains_one(tiny_model: Path, split_folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "fast"
    done = run_command("train-fast", tiny_model, "--data", split_folder, "--output", output)
    assert done.returncode == 0, done.stderr
    assert "language model" in done.stdout and f"classify --model {output} --fast" in done.stdout
    refused("train-fast", tiny_model, "--data", split_folder, "--output", output, part="already exists")
