"""GGUF files are converted once, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from subjectwise.errors import BaseModelError
from subjectwise.models.base_model import load_base
from subjectwise.models.gguf import cache_folder, converted_gguf


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SUBJECTWISE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_cache_folder_may_be_set(cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache_folder() == cache
    monkeypatch.delenv("SUBJECTWISE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "subjectwise"


def test_nothing_half_converted_is_kept(cache: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF but not really")
    with pytest.raises(BaseModelError, match="Cannot load the base"):
        load_base(str(path))
    assert not list(cache.rglob("config.json"))


def test_another_file_than_expected_is_refused(cache: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF")
    with pytest.raises(BaseModelError, match="is damaged or another file"):
        converted_gguf(path, "0" * 64)
