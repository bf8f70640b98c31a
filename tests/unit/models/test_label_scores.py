"""The fast path and the plain one give the same scores: cached prefix, batches, padding, labels of many tokens."""

from __future__ import annotations

import importlib.util
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from helpers.tiny_models import decoder_configs, make_rows, save_base
from subjectwise.engines.pytorch.attention import grouped_attention
from subjectwise.engines.pytorch.engine import PyTorchEngine
from subjectwise.engines.pytorch.forward import (
    NO_TAIL,
    Rows,
    Tail,
    can_pack,
    pays_to_pack,
    read_packed,
    read_prefix,
    read_rows_with_tail,
    shares_prefix,
)
from subjectwise.engines.pytorch.output_head import OutputHead, check_head
from subjectwise.errors import BaseModelError, DataError
from subjectwise.labels import MMLU_PRO_LABELS, LabelSet
from subjectwise.models.base_model import load_base
from subjectwise.models.label_scores import (
    ENGINES,
    LabelScorer,
    LabelTrie,
    length_batches,
    make_engine,
    score,
    score_plain,
)
from subjectwise.recipe import PromptSettings
from subjectwise.records import Question
from subjectwise.text.prompt import Prompt

QUESTIONS = [*[Question(row["question"]) for row in make_rows()][::5], Question("Why?"), Question("long " * 60)]

LABEL_SETS = {
    "fourteen": LabelSet(MMLU_PRO_LABELS),
    "shared starts": LabelSet(("computer", "computer science", "computer security", "computing", "law", "law school")),
}


@pytest.mark.parametrize("labels", LABEL_SETS.values(), ids=LABEL_SETS.keys())
@pytest.mark.parametrize("style", ["plain", "bare"])
@pytest.mark.parametrize("kind", list(decoder_configs(600)))
def test_equal_to_the_plain_path(
    tmp_path: Path, tokenizer: Any, kind: str, style: str, labels: LabelSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save_base(tmp_path / "base", decoder_configs(len(tokenizer))[kind], tokenizer)
    base = load_base(str(folder), device="cpu", dtype="float32")
    check_head(base.model)
    prompt = Prompt(base.tokenizer, labels, PromptSettings(style=style))
    trie = LabelTrie(prompt.label_ids, prompt.end_ids)
    engine = PyTorchEngine(base.model, prompt.prefix_ids)
    monkeypatch.setattr(PyTorchEngine, "tokens_per_batch", 1500)
    rows = prompt.encode_questions(QUESTIONS)
    fast = score(engine, rows, trie)
    plain = [score_plain(base.model, [*prompt.prefix_ids, *row], trie) for row in rows]
    np.testing.assert_allclose(fast.log_probs, np.concatenate([item.log_probs for item in plain]), atol=2e-4)
    np.testing.assert_allclose(fast.label_mass, np.concatenate([item.label_mass for item in plain]), rtol=2e-3)
    np.testing.assert_allclose(np.exp(fast.log_probs).sum(axis=1), 1)
    assert np.ptp(fast.log_probs, axis=0).max() > 0.01, "questions must differ for this to show anything"
    if "window" in kind:
        assert not shares_prefix(base.model)


@pytest.mark.parametrize("share", [True, False], ids=["shared prefix", "prefix in each row"])
@pytest.mark.parametrize("kind", list(decoder_configs(600)))
def test_rows_read_without_padding_are_the_same(tmp_path: Path, tokenizer: Any, kind: str, share: bool) -> None:
    folder = save_base(tmp_path / "base", decoder_configs(len(tokenizer))[kind], tokenizer)
    model = PyTorchEngine(load_base(str(folder), device="cpu", dtype="float32").model, []).model
    rows = [[5, 6, 7], [8], [9, 10, 11, 12, 13, 14, 15], [5, 6, 8]]
    with torch.inference_mode():
        prefix = read_prefix(model, list(range(20, 40)), share=share)
        assert can_pack(model, prefix) == shares_prefix(model)
        assert can_pack(model, prefix) or kind not in ("llama", "qwen3")
        if not can_pack(model, prefix):
            return
        expected = read_rows_with_tail(model, prefix, rows).last
        found = read_packed(model, prefix, rows)
    torch.testing.assert_close(found.last, expected, atol=2e-5, rtol=1e-4)
    assert found.tail.shape == (4, 0, expected.shape[1])
    assert pays_to_pack(prefix, rows)
    assert pays_to_pack(prefix, [[1], [2]]) == share, "rows of one length are padded with nothing"
    assert not pays_to_pack(prefix, rows[:1])
    assert pays_to_pack(prefix, [[1], [1] * 250]) == share, "the prefix is not read with each row where it is shared"
    assert not pays_to_pack(prefix, [[1], [1] * 300]), "the fused kernel leaves out half of a long row's products"


def test_an_engine_packs_where_it_can(tiny_base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = load_base(str(tiny_base), device="cpu", dtype="float32")
    rows, wanted, read = [[5, 6, 7], [8], [9, 10, 11]], [[1, 2]], []

    def spied(*arguments: Any) -> Any:
        read.append(arguments)
        return read_packed(*arguments)

    monkeypatch.setattr("subjectwise.engines.pytorch.engine.read_packed", spied)
    engine = PyTorchEngine(base.model, [])
    (packed,) = engine.token_log_probs(rows, NO_TAIL, wanted)
    assert len(read) == 1
    # Attention that is not ours knows nothing of it, and is asked for padded rows.
    monkeypatch.setattr(
        "subjectwise.engines.pytorch.engine.prefer_grouped", lambda model: model.set_attn_implementation("sdpa")
    )
    fused = PyTorchEngine(base.model, [])
    (padded,) = fused.token_log_probs(rows, NO_TAIL, wanted)
    assert len(read) == 1 and fused.most_padding(9, NO_TAIL) < engine.most_padding(9, NO_TAIL)
    assert (
        engine.most_padding(300, NO_TAIL) == engine.most_padding(9, Tail([5], [-1])) == fused.most_padding(9, NO_TAIL)
    )
    torch.testing.assert_close(packed, padded, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("cap", [None, 8.0], ids=["plain", "soft cap"])
@pytest.mark.parametrize("bias", [False, True])
def test_log_probs_of_half_precision_weights_are_those_of_float32(bias: bool, cap: float | None) -> None:
    torch.manual_seed(0)
    layer = torch.nn.Linear(32, 4000, bias=bias, dtype=torch.bfloat16)
    torch.nn.init.normal_(layer.weight)
    head = OutputHead(
        SimpleNamespace(get_output_embeddings=lambda: layer, config=SimpleNamespace(final_logit_softcapping=cap))
    )
    hidden = torch.randn(5, 3, 32, dtype=torch.bfloat16)
    wanted = [[7, 3999, 0], [11], [2, 5]]
    with torch.inference_mode():
        expected = head.logits(hidden).log_softmax(-1)
        found = head.log_probs(Rows(hidden[:, 0], hidden[:, 1:]), wanted)
    for place, tokens in enumerate(wanted):
        right = expected[:, place, tokens]
        torch.testing.assert_close(found[place], right, atol=0.06, rtol=0)  # bfloat16 rounds a logit of 20 by so much
        torch.testing.assert_close(found[place].diff(), right.diff(), atol=1e-5, rtol=1e-5)


def test_seventy_seven_labels_that_begin_alike(tiny_base: Path) -> None:
    labels = LabelSet.from_yaml(Path(__file__).parents[3] / "examples/banking_labels.yaml")
    base = load_base(str(tiny_base), device="cpu", dtype="float32")
    prompt = Prompt(base.tokenizer, labels, PromptSettings(style="plain"), described=True)
    trie = LabelTrie(prompt.label_ids, prompt.end_ids)
    assert len(labels) == 77 and len({ids[0] for ids in prompt.label_ids}) < 60, "many share their first token"
    fast = LabelScorer(base.model, prompt).score(QUESTIONS[:2])
    rows = prompt.encode_questions(QUESTIONS[:2])
    plain = [score_plain(base.model, [*prompt.prefix_ids, *row], trie) for row in rows]
    np.testing.assert_allclose(fast.log_probs, np.concatenate([item.log_probs for item in plain]), atol=2e-4)
    np.testing.assert_allclose(np.exp(fast.log_probs).sum(axis=1), 1)


def test_the_cached_prefix_is_never_changed(tiny_base: Path) -> None:
    base = load_base(str(tiny_base), device="cpu", dtype="float32")
    prompt = Prompt(base.tokenizer, LABEL_SETS["shared starts"], PromptSettings(style="plain"))
    trie = LabelTrie(prompt.label_ids, prompt.end_ids)
    engine = PyTorchEngine(base.model, prompt.prefix_ids)
    assert engine.prefix.layers is not None
    before = [(keys.clone(), values.clone()) for keys, values in engine.prefix.layers]
    first = score(engine, prompt.encode_questions(QUESTIONS), trie)
    again = score(engine, prompt.encode_questions(QUESTIONS), trie)
    np.testing.assert_array_equal(first.log_probs, again.log_probs)
    for (keys, values), (old_keys, old_values) in zip(engine.prefix.layers, before, strict=True):
        assert torch.equal(keys, old_keys) and torch.equal(values, old_values)


def test_a_batch_equals_its_questions_one_by_one(tiny_base: Path) -> None:
    base = load_base(str(tiny_base), device="cpu", dtype="float32")
    prompt = Prompt(base.tokenizer, LABEL_SETS["fourteen"], PromptSettings(style="plain"))
    trie = LabelTrie(prompt.label_ids, prompt.end_ids)
    engine = PyTorchEngine(base.model, prompt.prefix_ids)
    rows = prompt.encode_questions(QUESTIONS)
    single = np.concatenate([score(engine, [row], trie).log_probs for row in rows])
    np.testing.assert_allclose(score(engine, rows, trie).log_probs, single, atol=1e-4)


def test_reading_without_sharing_is_the_same(tiny_base: Path) -> None:
    base = load_base(str(tiny_base), device="cpu", dtype="float32")
    prompt = Prompt(base.tokenizer, LABEL_SETS["shared starts"], PromptSettings(style="plain"))
    trie = LabelTrie(prompt.label_ids, prompt.end_ids)
    rows = prompt.encode_questions(QUESTIONS)
    shared, apart = (PyTorchEngine(base.model, prompt.prefix_ids) for _ in range(2))
    apart.prefix = read_prefix(base.model, prompt.prefix_ids, share=False)
    np.testing.assert_allclose(score(shared, rows, trie).log_probs, score(apart, rows, trie).log_probs, atol=2e-4)


def test_the_trie_stops_where_a_label_is_unique() -> None:
    trie = LabelTrie([[1, 2, 3], [1, 4], [5, 6], [1]], end_ids=[9])
    assert trie.paths == [[1, 2], [1, 4], [5], [1, 9]]
    assert (trie.tail.ids, trie.tail.parents) == ([1], [-1])
    assert trie.wanted == [[1, 5], [2, 4, 9]]
    deep = LabelTrie([[1, 2, 3], [1, 2, 4]], end_ids=[])
    assert (deep.tail.ids, deep.tail.parents) == ([1, 2], [-1, 0])


def test_labels_that_cannot_be_told_apart_are_refused() -> None:
    with pytest.raises(DataError, match="Label 1 cannot be told"):
        LabelTrie([[1, 2], [1, 2]], end_ids=[9])
    with pytest.raises(DataError, match="Label 1 cannot be told"):
        LabelTrie([[1], [1, 2]], end_ids=[])


def test_batches_hold_every_row_once_and_keep_the_budget() -> None:
    lengths = [5, 90, 3, 40, 41, 7, 300, 2]
    batches = list(length_batches(lengths, budget=100, extra=2))
    assert sorted(i for batch in batches for i in batch) == list(range(8))
    assert batches[0] == [6], "a row over the budget stands alone, and the longest come first"
    for batch in batches[1:]:
        assert len(batch) * (max(lengths[i] for i in batch) + 2) <= 100
    assert list(length_batches([], 100)) == []


def test_short_rows_are_not_padded_to_long_ones() -> None:
    lengths = [384, *[20] * 60, 400, *[100, 90] * 5]
    batches = list(length_batches(lengths, budget=4096))
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    padding = [sum(max(lengths[i] for i in batch) - lengths[place] for place in batch) for batch in batches]
    assert max(padding) <= 128 and len(batches) == 3


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize(("tokens", "before"), [(7, 0), (7, 5), (300, 0), (300, 4)])
def test_attention_in_plain_products_is_the_fused_one(rows: int, tokens: int, before: int) -> None:
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(rows, 6, tokens, 8, generator=generator)
    key, value = (torch.randn(rows, 2, before + tokens, 8, generator=generator) for _ in range(2))
    seen = torch.ones(tokens, before + tokens, dtype=torch.bool).tril(diagonal=before)
    mask = torch.zeros(1, 1, tokens, before + tokens).masked_fill(~seen, torch.finfo(torch.float32).min)
    expected = torch.nn.functional.scaled_dot_product_attention(query, key, value, mask, enable_gqa=True)
    module = SimpleNamespace(num_key_value_groups=3, is_causal=True)
    found, _ = grouped_attention(module, query, key, value, mask, scaling=8**-0.5)
    torch.testing.assert_close(found, expected.transpose(1, 2), atol=1e-5, rtol=1e-4)
    with torch.inference_mode():
        again, _ = grouped_attention(module, query, key, value, mask)
    torch.testing.assert_close(again, found, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("labels", LABEL_SETS.values(), ids=LABEL_SETS.keys())
@pytest.mark.parametrize("style", ["plain", "bare"])
@pytest.mark.parametrize("kind", ["llama", "untied llama", "qwen2", "qwen3"])
def test_openvino_is_equal_to_pytorch(tmp_path: Path, tokenizer: Any, kind: str, style: str, labels: LabelSet) -> None:
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    folder = save_base(tmp_path / "base", decoder_configs(len(tokenizer))[kind], tokenizer)
    base = load_base(str(folder), device="cpu", dtype="float32")
    prompt = Prompt(base.tokenizer, labels, PromptSettings(style=style))
    plain, fast = (LabelScorer(base.model, prompt, engine).score(QUESTIONS) for engine in ENGINES)
    np.testing.assert_allclose(fast.log_probs, plain.log_probs, atol=1e-4)
    np.testing.assert_allclose(fast.label_mass, plain.label_mass, rtol=1e-3)


def test_openvino_tells_nobody_and_answers_many_threads(tiny_base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    told: list[Any] = []
    if importlib.util.find_spec("openvino_telemetry"):
        sender = importlib.import_module("openvino_telemetry.utils.sender").TelemetrySender
        monkeypatch.setattr(sender, "send", lambda *args, **kwargs: told.append(args))
    base = load_base(str(tiny_base), device="cpu", dtype="float32")
    prompt = Prompt(base.tokenizer, LABEL_SETS["shared starts"], PromptSettings(style="plain"))
    scorer = LabelScorer(base.model, prompt, "openvino")
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: scorer.score(QUESTIONS).log_probs, range(8)))
    assert told == []
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])


def test_engines_that_cannot_be_had_say_so(
    tmp_path: Path, tiny_base: Path, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = load_base(str(tiny_base), device="cpu", dtype="float32")
    with pytest.raises(BaseModelError, match="no engine 'fast'; choose one of pytorch, openvino"):
        make_engine("fast", base.model, [1])
    config = decoder_configs(len(tokenizer))["mistral, narrow window"]
    narrow = load_base(str(save_base(tmp_path / "narrow", config, tokenizer)), device="cpu", dtype="float32")
    monkeypatch.setitem(sys.modules, "openvino", SimpleNamespace())
    with pytest.raises(BaseModelError, match="with windows; use --engine pytorch"):
        make_engine("openvino", narrow.model, [1])
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(BaseModelError, match=r"run: pip install 'subjectwise\[openvino\]'"):
        make_engine("openvino", base.model, [1])
