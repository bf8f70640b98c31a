"""The path of GPUs, uncaptured on a CPU, gives the plain path's scores; it goes on where nothing can be captured."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from helpers.scoring import LABEL_SETS, prompted_base
from helpers.tiny_models import decoder_configs, save_base
from subjectwise.engines.label_trie import NO_TREE, TokenTree
from subjectwise.engines.pytorch import packed_decoder
from subjectwise.engines.pytorch.cuda_graphs import GraphCapture, Work
from subjectwise.engines.pytorch.engine import PyTorchEngine
from subjectwise.engines.pytorch.forward import run_prefix
from subjectwise.engines.pytorch.packed_decoder import PackedDecoder, can_run_packs
from subjectwise.engines.pytorch.packs import PackSize
from subjectwise.models.base_model import load_base
from subjectwise.models.label_scores import score_rows
from subjectwise.types import LanguageModel

SIZES = tuple(PackSize.of(tokens) for tokens in (64, 256, 1024))


@pytest.mark.parametrize(
    ("kind", "style", "labels"),
    [
        ("llama", "plain", "fourteen"),
        ("llama", "bare", "shared starts"),
        ("qwen2", "plain", "shared starts"),
        ("qwen3", "plain", "shared starts"),
        ("qwen3", "bare", "fourteen"),
    ],
)
def test_it_is_equal_to_the_plain_path(tmp_path: Path, tokenizer: Any, kind: str, style: str, labels: str) -> None:
    folder = save_base(tmp_path / "base", decoder_configs(len(tokenizer))[kind], tokenizer)
    base = prompted_base(folder, LABEL_SETS[labels], style, questions=8)
    assert can_run_packs(base.model)
    engine = PyTorchEngine(base.model, base.prompt.prefix_ids, SIZES)
    packed, plain = base.score(engine), base.plain_scores()
    np.testing.assert_allclose(packed.log_probs, plain.log_probs, atol=2e-4)
    np.testing.assert_allclose(packed.label_mass, plain.label_mass, rtol=2e-3)
    single = np.concatenate([score_rows(engine, [row], base.trie).log_probs for row in base.rows[:3]])
    np.testing.assert_allclose(packed.log_probs[:3], single, atol=1e-4)


@pytest.mark.parametrize("kind", [kind for kind in decoder_configs(600) if kind.startswith(("gemma", "mistral"))])
def test_other_families_are_read_as_before(tmp_path: Path, tokenizer: Any, kind: str) -> None:
    folder = save_base(tmp_path / "base", decoder_configs(len(tokenizer))[kind], tokenizer)
    assert not can_run_packs(load_base(str(folder), device="cpu", dtype="float32").model)


def test_adapters_in_another_precision_are_read_as_before(tiny_base: Path) -> None:
    model = load_base(str(tiny_base), device="cpu", dtype="bfloat16").model
    assert can_run_packs(model)
    model.get_decoder().layers[0].mlp.up_proj.to(torch.float32)
    assert not can_run_packs(model)


def test_what_does_not_fit_a_pack_is_read_as_before(tiny_base: Path) -> None:
    base = prompted_base(tiny_base, LABEL_SETS["shared starts"])
    engine = PyTorchEngine(base.model, base.prompt.prefix_ids, SIZES)
    assert engine.packed_decoder is not None and engine.packed_decoder.reads(1, 512, NO_TREE)
    deep = TokenTree([5, 6, 7, 8], [-1, 0, 1, 2])
    wanted, rows = [[1, 2]] * 5, [[5] * 20, [7] * 300]
    few, many = engine.token_log_probs(rows[:1], deep, wanted), engine.token_log_probs(rows * 2, deep, wanted)
    for one, several in zip(few, many, strict=True):
        np.testing.assert_allclose(one[0], several[0], atol=2e-5, rtol=1e-4)
    (long,) = engine.token_log_probs([[5, 6] * 300], NO_TREE, [[1, 2]])
    (padded,) = PyTorchEngine(base.model, base.prompt.prefix_ids, ()).token_log_probs([[5, 6] * 300], NO_TREE, [[1, 2]])
    np.testing.assert_allclose(long, padded, atol=2e-5, rtol=1e-4)
    assert engine.padding_limit(20, NO_TREE) > 1000 > engine.padding_limit(600, NO_TREE)


class Recorded(GraphCapture):
    """Captures nothing; notes what it is asked to capture and fails as often as it is told."""

    def __init__(self, failures: int = 0) -> None:
        super().__init__(torch.device("cpu"))
        self.asked = 0
        self._failures = failures

    def capture(self, work: Work) -> Work:
        self.asked += 1
        if self._failures:
            self._failures -= 1
            raise RuntimeError("no compiler here")
        return work


def eager_compile(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let torch.compile trace without compiling; return a list with one entry per traced graph."""
    traced: list[int] = []
    compile_as_usual: Callable[..., Any] = torch.compile

    def backend(graph: torch.fx.GraphModule, _: Any) -> Any:
        traced.append(len(graph.graph.nodes))
        return graph.forward

    monkeypatch.setattr(torch, "compile", lambda work, **options: compile_as_usual(work, backend=backend, **options))
    return traced


def decoder_of(model: LanguageModel, capture: GraphCapture | None) -> PackedDecoder:
    with torch.inference_mode():
        return PackedDecoder(model, run_prefix(model, list(range(3, 40))), SIZES, capture)


@pytest.mark.slow
def test_one_compiled_layer_serves_all_layers_and_sizes(
    tmp_path: Path, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = decoder_configs(len(tokenizer))["qwen3"]
    config.num_hidden_layers, config.layer_types = 4, ["full_attention"] * 4
    model = load_base(str(save_base(tmp_path / "base", config, tokenizer)), device="cpu", dtype="float32").model
    traced = eager_compile(monkeypatch)
    monkeypatch.setattr(packed_decoder, "RUNS_BEFORE_CAPTURE", 0)
    batches = [[[5, 6, 7], [8] * 9], [[9] * 40] * 4, [[9] * 40] * 20]  # one for each size
    compiled, plain = decoder_of(model, Recorded()), decoder_of(model, None)
    for rows in batches:
        torch.testing.assert_close(compiled.states(rows).last, plain.states(rows).last, atol=2e-5, rtol=1e-4)
    assert compiled.captured == [size.tokens for size in SIZES]
    assert 1 <= len(traced) <= 2, "one for the first size, one for all others"


def test_a_size_is_captured_when_it_has_been_used_a_few_times(tiny_base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda work, **options: work)
    model = load_base(str(tiny_base), device="cpu", dtype="float32").model
    decoder = decoder_of(model, Recorded())
    for _ in range(packed_decoder.RUNS_BEFORE_CAPTURE):
        decoder.states([[5, 6, 7]])
    assert decoder.captured == []
    decoder.states([[5, 6, 7]])
    assert decoder.captured == [64]


@pytest.mark.parametrize(("failures", "warned"), [(1, ["compile"]), (2, ["compile", "capture"])])
def test_what_cannot_be_compiled_or_captured_runs_as_it_is(
    tiny_base: Path, monkeypatch: pytest.MonkeyPatch, failures: int, warned: list[str]
) -> None:
    monkeypatch.setattr(packed_decoder, "RUNS_BEFORE_CAPTURE", 0)
    monkeypatch.setattr(torch, "compile", lambda work, **options: work)
    model = load_base(str(tiny_base), device="cpu", dtype="float32").model
    capture = Recorded(failures)
    decoder, rows = decoder_of(model, capture), [[5, 6, 7], [8, 9]]
    with pytest.warns(UserWarning, match="no compiler here") as record:
        first = decoder.states(rows).last
    assert [str(item.message).split()[1] for item in record] == warned
    assert torch.equal(first, decoder.states(rows).last)
    assert bool(decoder.captured) == (failures == 1)
    assert capture.asked == 2, "nothing is tried again"
