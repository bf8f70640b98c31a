"""On a GPU, graphs read what their buffers hold, and captured packs give the scores of padded batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from helpers.scoring import LABEL_SETS, prompted_base
from helpers.tiny_models import decoder_configs, save_base
from subjectwise.engines.pytorch.cuda_graphs import GraphCapture
from subjectwise.engines.pytorch.engine import PyTorchEngine
from subjectwise.engines.pytorch.packed_decoder import RUNS_BEFORE_CAPTURE
from subjectwise.models.base_model import load_base
from subjectwise.models.label_scores import score_rows

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")


def test_a_graph_reads_what_its_buffers_hold() -> None:
    device = torch.device("cuda")
    capture, source = GraphCapture(device), torch.zeros(8, device=device)
    doubled, squared = torch.zeros_like(source), torch.zeros_like(source)

    def double() -> None:
        doubled.copy_(source * 2)

    def square() -> None:
        squared.copy_(source * source)

    first, second = capture.capture(double), capture.capture(square)
    for value in (3.0, 5.0):
        source.fill_(value)
        first()
        second()
        assert doubled.tolist() == [2 * value] * 8 and squared.tolist() == [value**2] * 8


@pytest.mark.slow
@pytest.mark.filterwarnings("error:Cannot")
@pytest.mark.parametrize("style", ["plain", "bare"])
@pytest.mark.parametrize("kind", ["llama", "qwen2", "qwen3"])
def test_captured_packs_give_the_scores_of_padded_batches(
    tmp_path: Path, tokenizer: Any, kind: str, style: str
) -> None:
    folder = save_base(tmp_path / "base", decoder_configs(len(tokenizer))[kind], tokenizer)
    base = prompted_base(folder, LABEL_SETS["shared starts"], style)
    packed, padded = (
        PyTorchEngine(load_base(str(folder), device="cuda", dtype="bfloat16").model, base.prompt.prefix_ids, packs)
        for packs in (None, ())
    )
    assert packed.packed_decoder is not None and padded.packed_decoder is None
    expected = np.exp(score_rows(padded, base.rows, base.trie).log_probs)
    for _ in range(RUNS_BEFORE_CAPTURE + 2):
        given = np.exp(score_rows(packed, base.rows, base.trie).log_probs)
        np.testing.assert_allclose(given, expected, atol=0.05)
    assert packed.packed_decoder.captured
