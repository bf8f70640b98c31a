"""Folders that 0.1.0 wrote load and give the answers that they gave there (float32, on a CPU)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.folders import copy_folder, edit, read
from subjectwise.baselines.baseline import Baseline
from subjectwise.classifier import Classifier

WRITTEN = Path(__file__).parents[1] / "data" / "written_by_0.1.0"
ANSWERS: dict[str, Any] = json.loads((WRITTEN / "answers.json").read_text(encoding="utf-8"))
QUESTIONS: list[str] = ANSWERS["questions"]


def load(folder: Path) -> Classifier:
    return Classifier.from_pretrained(
        folder, base=str(WRITTEN / "base"), device="cpu", dtype="float32", engine="pytorch"
    )


@pytest.mark.parametrize("name", ["adapter", "head", "mean"])
def test_a_model_folder_gives_the_same_answers(name: str) -> None:
    classifier = load(WRITTEN / name)
    assert classifier.warning == ""
    np.testing.assert_allclose(classifier.predict_proba(QUESTIONS), ANSWERS[name], atol=1e-6)


def test_a_baseline_gives_the_same_answers() -> None:
    baseline = Baseline.load(WRITTEN / "baseline")
    np.testing.assert_allclose(baseline.predict_proba(QUESTIONS), ANSWERS["baseline"], atol=1e-6)


def test_a_head_with_removed_settings_is_read(tmp_path: Path) -> None:
    folder = copy_folder(WRITTEN / "head", tmp_path / "head")
    head = read(folder / "subjectwise.json")["head"]
    edit(folder / "subjectwise.json", head=head | {"train_head": False, "pad_token": False})
    assert load(folder).warning == ""
    edit(folder / "subjectwise.json", head=head | {"pooling": "row_end"})
    classifier = load(folder)
    assert "head.pooling=row_end, which no longer exists" in classifier.warning
    np.testing.assert_allclose(classifier.predict_proba(QUESTIONS), ANSWERS["head"], atol=1e-6)
