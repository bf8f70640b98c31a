"""Engines by name: which one `auto` is, and what cannot run says so in one sentence."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from helpers.tiny_models import decoder_configs, save_base
from subjectwise.engines.engine import ENGINES, OPENVINO, PYTORCH
from subjectwise.errors import BaseModelError
from subjectwise.models import engine_choice
from subjectwise.models.compiled_base import load_compiled_base
from subjectwise.models.devices import Compute
from subjectwise.models.engine_choice import choose_engine


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The libraries that are taken to be installed; a test removes some."""
    names = {"torch", "openvino"}
    monkeypatch.setattr(engine_choice, "_installed", lambda module: module in names)
    monkeypatch.setattr(engine_choice, "_GPU_DRIVERS", ())
    return names


def saved(folder: Path, kind: str, tokenizer: Any) -> str:
    return str(save_base(folder / "base", decoder_configs(len(tokenizer))[kind], tokenizer))


def test_an_unknown_engine_is_refused(tiny_base: Path) -> None:
    with pytest.raises(BaseModelError, match="Unknown engine 'fast'; choose one of auto, pytorch, openvino"):
        choose_engine(Compute(engine="fast"), str(tiny_base))
    assert ENGINES == (PYTORCH, OPENVINO)


@pytest.mark.parametrize("kind", ["llama", "untied llama", "qwen2", "qwen3"])
def test_known_families_run_on_openvino(tmp_path: Path, tokenizer: Any, kind: str, installed: set[str]) -> None:
    base = saved(tmp_path, kind, tokenizer)
    assert choose_engine(Compute(), base) == choose_engine(Compute("cpu"), base) == OPENVINO
    assert choose_engine(Compute(engine=PYTORCH), base) == PYTORCH
    assert choose_engine(Compute("cuda:0"), base) == PYTORCH
    assert choose_engine(Compute(), base, head=True) == PYTORCH
    installed.remove("openvino")
    assert choose_engine(Compute(), base) == PYTORCH


@pytest.mark.parametrize("kind", ["gemma2, capped logits", "mistral, narrow window"])
def test_other_families_run_on_pytorch(tmp_path: Path, tokenizer: Any, kind: str, installed: set[str]) -> None:
    base = saved(tmp_path, kind, tokenizer)
    assert choose_engine(Compute(), base) == PYTORCH
    installed.remove("torch")
    with pytest.raises(BaseModelError, match=r"needs PyTorch, which is not installed; run: pip install 'subjectwise"):
        choose_engine(Compute(), base)
    with pytest.raises(BaseModelError, match=r"the family '\w+' is unknown to it. Use --engine pytorch"):
        load_compiled_base(base)


def test_a_sliding_window_is_for_pytorch(tmp_path: Path, tokenizer: Any, installed: set[str]) -> None:
    config = decoder_configs(len(tokenizer))["qwen2"]
    config.use_sliding_window, config.layer_types = True, ["full_attention", "sliding_attention"]
    base = str(save_base(tmp_path / "base", config, tokenizer))
    assert choose_engine(Compute(), base) == PYTORCH
    with pytest.raises(BaseModelError, match="it has a sliding window. Use --engine pytorch"):
        load_compiled_base(base)


def test_what_openvino_cannot_run_says_so(tiny_base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BaseModelError, match="openvino is for CPUs; use --device cpu, or --engine pytorch"):
        choose_engine(Compute("cuda:0", engine=OPENVINO), str(tiny_base))
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(BaseModelError, match="OpenVINO is not installed; run: pip install openvino"):
        choose_engine(Compute(engine=OPENVINO), str(tiny_base))


def test_a_gpu_is_asked_for_only_where_a_driver_is(
    tiny_base: Path, installed: set[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[str] = []

    def device(name: str = "auto") -> Any:
        asked.append(name)
        return SimpleNamespace(type="cuda")

    monkeypatch.setattr(engine_choice, "choose_device", device)
    assert choose_engine(Compute(), str(tiny_base)) == OPENVINO and not asked
    monkeypatch.setattr(engine_choice, "_GPU_DRIVERS", (str(tmp_path),))
    assert choose_engine(Compute(), str(tiny_base)) == PYTORCH and asked
