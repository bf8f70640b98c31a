"""Calibration changes no weight: temperature, thresholds, prior, and whether spelling is corrected."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from helpers.folders import copy_folder, edit, read
from helpers.training import CPU
from subjectwise.data.split import open_split
from subjectwise.errors import DataError, ModelFolderError
from subjectwise.models.model_config import VOCABULARY_FILE, read_config
from subjectwise.models.model_folder import load_model
from subjectwise.publish.hub import plan_upload
from subjectwise.recipe import HeadSettings, PromptSettings
from subjectwise.records import Question
from subjectwise.statistics.calibration import apply_temperature, fit_temperature
from subjectwise.training.calibrate_model import calibrate, calibration_warning, with_spelling
from subjectwise.training.validation import score_examples
from subjectwise.utils.atomic_files import file_sha256


@pytest.fixture
def folder(tiny_model: Path, tmp_path: Path) -> Path:
    return copy_folder(tiny_model, tmp_path / "mine")


def test_it_is_fitted_on_the_validation_rows(folder: Path, split_folder: Path) -> None:
    data = open_split(split_folder)
    kept, weights = read_config(folder), file_sha256(folder / "adapter_model.safetensors")
    edit(folder / "subjectwise.json", calibration={"temperature": 9.0, "prior": []}, thresholds={})
    fitted = calibrate(folder, data, compute=CPU, progress=False)
    assert fitted.temperature == pytest.approx(kept.temperature, rel=1e-4)
    assert fitted.prior == kept.prior and dict(fitted.thresholds) == pytest.approx(kept.thresholds)
    counts = Counter(row.label for row in data.examples("train"))
    assert fitted.prior == pytest.approx([counts[label] / counts.total() for label in data.labels])
    assert read_config(folder) == fitted and file_sha256(folder / "adapter_model.safetensors") == weights
    scorer = load_model(folder, compute=CPU).scorer
    scores = score_examples(scorer, data.examples("validation"), False, progress=False)
    assert fitted.temperature == pytest.approx(fit_temperature(scores.log_probs, scores.truth))
    right = apply_temperature(scores.log_probs, fitted.temperature).argmax(axis=1) == scores.truth
    assert fitted.results["validation"]["accuracy"] == pytest.approx(np.mean(right))
    assert fitted.results["validation"]["rows"] == len(scores.truth)
    assert "kinds" not in fitted.results["validation"] and fitted.scope is None


def test_data_with_other_labels_is_refused(folder: Path, split_folder: Path) -> None:
    data = open_split(split_folder)
    other = replace(data, manifest=data.manifest | {"labels": ["law", "physics"]})
    with pytest.raises(DataError, match="has other labels than .*; give a split with the same labels"):
        calibrate(folder, other, compute=CPU)
    with pytest.raises(ModelFolderError, match="Unknown spelling 'english'; choose one of none, ar"):
        calibrate(folder, data, compute=CPU, spelling="english")


@pytest.mark.parametrize(("rows", "warned"), [(12, True), (99, True), (100, False), (0, False)])
def test_too_few_validation_rows_are_a_warning(tiny_model: Path, rows: int, warned: bool) -> None:
    config = replace(read_config(tiny_model), results={"validation": {"rows": rows}} if rows else {})
    warning = calibration_warning(config)
    assert bool(warning) == warned and (not warned or warning.startswith(f"{rows} validation rows are too few"))


def test_spelling_correction_is_switched_on_and_off(folder: Path, split_folder: Path) -> None:
    data = open_split(split_folder)
    typed, meant = Question("What is a photn to a lens?"), Question("What is a photon to a lens?")

    def same() -> bool:
        first, second = load_model(folder, compute=CPU).scorer.encode([typed, meant])
        return first == second

    assert not same() and not (folder / VOCABULARY_FILE).exists()
    calibrate(folder, data, compute=CPU, spelling="en", progress=False)
    assert same() and read_config(folder).words["photon"] > 1
    assert VOCABULARY_FILE in plan_upload(folder, "me/subjects").files
    assert "spelling" in (folder / "README.md").read_text() or "mistyped" in (folder / "README.md").read_text()
    calibrate(folder, data, compute=CPU, progress=False)  # as it is
    assert same()
    calibrate(folder, data, compute=CPU, spelling="none", progress=False)
    assert not same() and "spelling" not in read(folder / "subjectwise.json")["prompt"]
    assert read_config(folder, "en").words["photon"] > 1, "a call may still ask for it"


def test_a_head_reads_questions_as_typed(split_folder: Path) -> None:
    config: Any = SimpleNamespace(prompt=PromptSettings(), head=HeadSettings(tune="full"))
    with pytest.raises(ModelFolderError, match="Cannot correct spelling for a classification head"):
        with_spelling(config, "en", open_split(split_folder))
