"""Fixtures of the baselines."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.baselines import LABELS, labelled_rows, save_sentence_encoder
from subjectwise.baselines.baseline import Baseline


@pytest.fixture(scope="package")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_sentence_encoder(tmp_path_factory.mktemp("encoders") / "tiny-bert")


@pytest.fixture
def saved_majority(tmp_path: Path) -> Path:
    Baseline.fit("majority", labelled_rows(), [], LABELS).save(tmp_path / "majority")
    return tmp_path / "majority"
