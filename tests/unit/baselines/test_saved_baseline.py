"""The folder of a baseline: no foreign type is loaded, and damage is named."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from subjectwise.baselines.baseline import Baseline
from subjectwise.baselines.saved_baseline import is_baseline_folder, read_config
from subjectwise.errors import ModelFolderError, SubjectwiseError
from subjectwise.records import Question


def test_what_the_folder_has(saved_majority: Path, tmp_path: Path) -> None:
    written = json.loads((saved_majority / "baseline.json").read_text())
    assert set(written) == {
        "schema_version", "kind", "labels", "calibration", "thresholds", "encoder", "manifest_sha256", "versions",
        "results",
    }  # fmt: skip
    assert is_baseline_folder(saved_majority) and not is_baseline_folder(tmp_path)
    config = read_config(saved_majority)
    assert config.to_dict() == written and config.prior == pytest.approx([0.25] * 4)


def test_a_foreign_type_is_refused_before_it_is_loaded(saved_majority: Path) -> None:
    from skops.io import dump

    dump(Question("What is a cell?"), saved_majority / "model.skops")
    with pytest.raises(ModelFolderError, match=r"has the type subjectwise\.records\.Question, which no baseline has"):
        Baseline.load(saved_majority)


def test_damage_is_named(saved_majority: Path, tmp_path: Path) -> None:
    from skops.io import dump

    with pytest.raises(ModelFolderError, match=r"is not the folder of a baseline: baseline\.json is missing"):
        Baseline.load(tmp_path)
    dump(np.zeros(3), saved_majority / "model.skops")
    with pytest.raises(ModelFolderError, match="is not a majority with 4 labels"):
        Baseline.load(saved_majority)
    (saved_majority / "model.skops").write_bytes(b"no archive")
    with pytest.raises(ModelFolderError, match=r"model\.skops is damaged"):
        Baseline.load(saved_majority)
    (saved_majority / "model.skops").unlink()
    with pytest.raises(ModelFolderError, match=r"model\.skops is missing"):
        Baseline.load(saved_majority)
    written: dict[str, Any] = json.loads((saved_majority / "baseline.json").read_text())
    for change, message in (
        ({"schema_version": 9}, "schema version 9"),
        ({"kind": "minilm-lr"}, "is damaged"),
        ({"calibration": {"temperature": 0}}, r"is damaged: the temperature is 0\.0"),
        ({"labels": ["law"]}, "is damaged: A label set needs at least two"),
    ):
        (saved_majority / "baseline.json").write_text(json.dumps(written | change))
        with pytest.raises(ModelFolderError, match=message):
            Baseline.load(saved_majority)


def test_a_missing_library_is_named(saved_majority: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skops.io", None)
    with pytest.raises(SubjectwiseError, match=r"run: pip install 'subjectwise\[baselines\]'"):
        Baseline.load(saved_majority)
