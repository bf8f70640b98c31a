"""OpenVINO answers as PyTorch does, in many threads, and sends nothing to anybody."""

from __future__ import annotations

import importlib.util
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.scoring import LABEL_SETS, prompted_base
from helpers.tiny_models import decoder_configs, save_base
from subjectwise.engines.engine import ENGINES, OPENVINO, make_engine
from subjectwise.labels import LabelSet

pytest.importorskip("openvino", reason="OpenVINO is not installed")


@pytest.mark.parametrize("labels", LABEL_SETS.values(), ids=LABEL_SETS.keys())
@pytest.mark.parametrize("style", ["plain", "bare"])
@pytest.mark.parametrize("kind", ["llama", "untied llama", "qwen2", "qwen3"])
def test_it_is_equal_to_pytorch(tmp_path: Path, tokenizer: Any, kind: str, style: str, labels: LabelSet) -> None:
    folder = save_base(tmp_path / "base", decoder_configs(len(tokenizer))[kind], tokenizer)
    base = prompted_base(folder, labels, style)
    plain, fast = (base.score(make_engine(engine, base.model, base.prompt.prefix_ids)) for engine in ENGINES)
    np.testing.assert_allclose(fast.log_probs, plain.log_probs, atol=1e-4)
    np.testing.assert_allclose(fast.label_mass, plain.label_mass, rtol=1e-3)


def test_it_sends_nothing_and_answers_many_threads(tiny_base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []
    if importlib.util.find_spec("openvino_telemetry"):
        sender = importlib.import_module("openvino_telemetry.utils.sender").TelemetrySender
        monkeypatch.setattr(sender, "send", lambda *args, **kwargs: sent.append(args))
    base = prompted_base(tiny_base, LABEL_SETS["shared starts"])
    engine = make_engine(OPENVINO, base.model, base.prompt.prefix_ids)
    with ThreadPoolExecutor(4) as pool:
        scores = list(pool.map(lambda _: base.score(engine).log_probs, range(8)))
    assert sent == []
    for other in scores[1:]:
        np.testing.assert_array_equal(other, scores[0])
