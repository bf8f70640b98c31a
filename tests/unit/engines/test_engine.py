"""Engines by name; what cannot run says so in one sentence."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from helpers.tiny_models import decoder_configs, save_base
from subjectwise.engines.engine import ENGINES, OPENVINO, PYTORCH, loading_dtype, make_engine
from subjectwise.engines.pytorch.engine import PyTorchEngine
from subjectwise.errors import BaseModelError, SubjectwiseError
from subjectwise.models.base_model import load_base


def test_an_unknown_engine_is_refused(tiny_base: Path) -> None:
    base = load_base(str(tiny_base), device="cpu", dtype="float32")
    with pytest.raises(BaseModelError, match="Unknown engine 'fast'; choose one of pytorch, openvino"):
        make_engine("fast", base.model, [1])
    assert isinstance(make_engine(PYTORCH, base.model, [1]), PyTorchEngine)


def test_an_engine_that_is_not_installed_names_its_extra(tiny_base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = load_base(str(tiny_base), device="cpu", dtype="float32")
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(SubjectwiseError, match=r"run: pip install 'subjectwise\[openvino\]'"):
        make_engine(OPENVINO, base.model, [1])


def test_a_model_with_a_sliding_window_is_for_pytorch(
    tmp_path: Path, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = decoder_configs(len(tokenizer))["mistral, narrow window"]
    narrow = load_base(str(save_base(tmp_path / "narrow", config, tokenizer)), device="cpu", dtype="float32")
    monkeypatch.setitem(sys.modules, "openvino", SimpleNamespace())
    with pytest.raises(BaseModelError, match="which has a sliding window; use --engine pytorch"):
        make_engine(OPENVINO, narrow.model, [1])


def test_openvino_rounds_by_itself() -> None:
    assert ENGINES == (PYTORCH, OPENVINO)
    assert loading_dtype(OPENVINO, "bfloat16") == "float32"
    assert loading_dtype(PYTORCH, "bfloat16") == "bfloat16"
