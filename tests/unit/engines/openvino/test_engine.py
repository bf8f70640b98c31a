"""OpenVINO answers as the plain path of transformers does, in many threads, without PyTorch, and sends nothing."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config, Qwen3Config

from helpers.requirements import requires_openvino
from helpers.scoring import LABEL_SETS, prompted_base
from helpers.tiny_models import decoder_configs, save_base, tiny_config
from subjectwise.engines.engine import OPENVINO
from subjectwise.engines.generation import continue_greedily
from subjectwise.engines.label_trie import LabelTrie
from subjectwise.engines.openvino import runtime
from subjectwise.engines.pytorch.engine import PyTorchEngine
from subjectwise.labels import LabelSet
from subjectwise.models.compiled_base import load_compiled_base
from subjectwise.models.label_scores import score_rows
from subjectwise.models.lora import merge_adapter
from subjectwise.utils.openvino_import import openvino as ov

pytestmark = requires_openvino


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("SUBJECTWISE_CACHE", str(folder))
    return folder


@pytest.mark.parametrize("labels", LABEL_SETS.values(), ids=LABEL_SETS.keys())
@pytest.mark.parametrize("style", ["plain", "bare"])
@pytest.mark.parametrize("kind", ["llama", "untied llama", "qwen2", "qwen3"])
def test_it_is_equal_to_the_plain_path(tmp_path: Path, tokenizer: Any, kind: str, style: str, labels: LabelSet) -> None:
    folder = save_base(tmp_path / "base", decoder_configs(len(tokenizer))[kind], tokenizer)
    base = prompted_base(folder, labels, style, questions=12)
    plain, fast = base.plain_scores(), base.score(base.engine(OPENVINO))
    np.testing.assert_allclose(fast.log_probs, plain.log_probs, atol=1e-4)
    np.testing.assert_allclose(fast.label_mass, plain.label_mass, rtol=1e-3)


@pytest.mark.parametrize("labels", ["fourteen", "shared starts"])
@pytest.mark.parametrize("kind", ["llama", "untied llama", "qwen2", "qwen3"])
def test_in_bfloat16_it_is_close(tmp_path: Path, tokenizer: Any, kind: str, labels: str) -> None:
    """As far as the processor computes in it; else it is float32, and as close."""
    folder = save_base(tmp_path / "base", decoder_configs(len(tokenizer))[kind], tokenizer)
    base = prompted_base(folder, LABEL_SETS[labels], questions=12)
    engine = base.engine(OPENVINO, "bfloat16")
    plain, fast = base.plain_scores(), base.score(engine)
    np.testing.assert_allclose(np.exp(fast.log_probs), np.exp(plain.log_probs), atol=0.03)
    rounded = bool(np.abs(fast.log_probs - plain.log_probs).max() > 1e-4)
    assert rounded == (engine.precision == "bfloat16")


def test_processes_of_one_thread_do_not_share_a_processor(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    read: list[Any] = []
    imported = runtime.core().import_model

    def keep(*arguments: Any) -> Any:
        read.append(imported(*arguments))
        return read[-1]

    monkeypatch.setattr(runtime, "core", lambda: SimpleNamespace(
        import_model=keep, compile_model=ov.Core().compile_model, get_property=ov.Core().get_property
    ))  # fmt: skip
    prompted_base(tiny_base, LABEL_SETS["fourteen"], questions=3).engine(OPENVINO)
    assert len(read) == 2
    for compiled in read:
        assert compiled.get_property("ENABLE_CPU_PINNING") is False
        assert compiled.get_property("INFERENCE_NUM_THREADS") == 1


@pytest.mark.parametrize(
    ("capabilities", "dtype", "expected"),
    [
        (["FP32", "BF16"], "auto", "bfloat16"), (["FP32", "BF16"], "bfloat16", "bfloat16"),
        (["FP32", "BF16"], "float32", "float32"), (["FP32", "BF16"], "float16", "float32"),
        (["FP32"], "auto", "float32"), (["FP32"], "bfloat16", "float32"),
    ],
)  # fmt: skip
def test_the_processor_decides_on_the_precision(
    monkeypatch: pytest.MonkeyPatch, capabilities: list[str], dtype: str, expected: str
) -> None:
    monkeypatch.setattr(runtime, "core", lambda: SimpleNamespace(get_property=lambda device, name: capabilities))
    assert runtime.choose_precision(dtype) == expected


def configs(vocab_size: int) -> dict[str, Any]:
    """What the families vary, beside what `decoder_configs` has."""
    sizes = {
        "vocab_size": vocab_size, "hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 3,
        "eos_token_id": 0, "pad_token_id": 0, "bos_token_id": None, "max_position_embeddings": 4096,
    }  # fmt: skip
    six = {"num_attention_heads": 6, "num_key_value_heads": 2}
    llama3 = {
        "rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    }  # fmt: skip
    linear = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 2.0}
    return {
        "biases": LlamaConfig(**sizes, **six, attention_bias=True),
        "no groups": LlamaConfig(**sizes, num_attention_heads=4, num_key_value_heads=4, tie_word_embeddings=True),
        "one head of keys": Qwen2Config(**sizes, num_attention_heads=6, num_key_value_heads=1),
        "wide heads, tied": Qwen3Config(**sizes, **six, head_dim=32, tie_word_embeddings=True),
        "llama3 rotary": LlamaConfig(**sizes, **six, rope_parameters=llama3),
        "linear rotary": LlamaConfig(**sizes, **six, rope_parameters=linear),
    }


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", configs(8))
def test_variants_are_equal_to_transformers(tmp_path: Path, tokenizer: Any, kind: str, dtype: torch.dtype) -> None:
    folder = save_base(tmp_path / "base", configs(len(tokenizer))[kind], tokenizer)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    for name, weight in model.named_parameters():  # biases start at zero, norms at one
        if weight.ndim == 1:
            torch.nn.init.normal_(weight, mean=float("norm" in name), std=0.2)
    (folder / "model.safetensors").unlink()
    model.to(dtype).save_pretrained(folder, max_shard_size="60KB")
    assert (folder / "model.safetensors.index.json").is_file()
    base = prompted_base(folder, LABEL_SETS["shared starts"], questions=6)
    plain, fast = base.plain_scores(), base.score(base.engine(OPENVINO))
    np.testing.assert_allclose(fast.log_probs, plain.log_probs, atol=1e-4)


def test_an_adapter_is_merged(tiny_base: Path, tiny_model: Path) -> None:
    base = prompted_base(tiny_base, LABEL_SETS["fourteen"], questions=6)
    before = base.plain_scores()
    merge_adapter(base.model, tiny_model)
    from subjectwise.engines.openvino.engine import OpenVINOEngine

    decoder = load_compiled_base(str(tiny_base), dtype="float32", adapter=tiny_model).decoder
    fast = base.score(OpenVINOEngine(decoder, base.prompt.prefix_ids))
    np.testing.assert_allclose(fast.log_probs, base.plain_scores().log_probs, atol=1e-4)
    assert np.abs(fast.log_probs - before.log_probs).max() > 0.1


def test_hundreds_of_labels(tiny_base: Path) -> None:
    base = prompted_base(tiny_base, LABEL_SETS["fourteen"], questions=3)
    numbers = np.random.default_rng(0).integers(3, base.model.config.vocab_size, (300, 3)).tolist()
    trie = LabelTrie([list(each) for each in {tuple(label) for label in numbers}], [])
    assert len(trie.tree.ids) > 50
    plain, fast = (score_rows(base.engine(name), base.rows, trie) for name in ("pytorch", OPENVINO))
    np.testing.assert_allclose(fast.log_probs, plain.log_probs, atol=1e-4)


@pytest.mark.parametrize("kind", ["llama", "qwen2", "qwen3"])
def test_texts_continue_as_transformers_continues_them(tmp_path: Path, tokenizer: Any, kind: str) -> None:
    folder = save_base(tmp_path / "base", decoder_configs(len(tokenizer))[kind], tokenizer)
    base = prompted_base(folder, LABEL_SETS["fourteen"])
    prompt, banned = base.rows[0], [[5], [7, 8]]
    expected = base.model.generate(
        torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=torch.long), max_new_tokens=30,
        do_sample=False, no_repeat_ngram_size=3, bad_words_ids=banned, pad_token_id=0, eos_token_id=None,
    )[0, len(prompt) :].tolist()  # fmt: skip
    for name in ("pytorch", OPENVINO):
        written = continue_greedily(base.engine(name), prompt, 30, lambda _: False, banned, no_repeat=3)
        assert written == expected


def test_it_sends_nothing_and_answers_many_threads(tiny_base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []
    if importlib.util.find_spec("openvino_telemetry"):
        sender = importlib.import_module("openvino_telemetry.utils.sender").TelemetrySender
        monkeypatch.setattr(sender, "send", lambda *args, **kwargs: sent.append(args))
    base = prompted_base(tiny_base, LABEL_SETS["shared starts"])
    engine = base.engine(OPENVINO)
    with ThreadPoolExecutor(4) as pool:
        scores = list(pool.map(lambda _: base.score(engine).log_probs, range(8)))
    assert sent == []
    for other in scores[1:]:
        np.testing.assert_array_equal(other, scores[0])


_WITHOUT_PYTORCH = """
import json, sys
for name in ("torch", "transformers", "sklearn", "peft"):
    sys.modules[name] = None
from pathlib import Path
from subjectwise.engines.generation import continue_greedily
from subjectwise.engines.label_trie import LabelTrie
from subjectwise.engines.openvino import runtime
from subjectwise.engines.openvino.engine import OpenVINOEngine
from subjectwise.models.compiled_base import load_compiled_base
from subjectwise.models.devices import Compute
from subjectwise.models.engine_choice import choose_engine
from subjectwise.models.label_scores import score_rows

base, adapter = sys.argv[1:]
assert choose_engine(Compute(), base) == "openvino"
engine = OpenVINOEngine(load_compiled_base(base, dtype="float32", adapter=Path(adapter)).decoder, [5, 6, 7])
scores = score_rows(engine, [[1, 2, 3], [4]], LabelTrie([[8, 9], [8, 10], [11]], []))
print(json.dumps([scores.log_probs.tolist(), continue_greedily(engine, [1, 2], 5, lambda _: False)]))
"""


def test_it_needs_no_pytorch(tiny_base: Path, tiny_model: Path) -> None:
    command = [sys.executable, "-c", _WITHOUT_PYTORCH, str(tiny_base), str(tiny_model)]
    written = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    base = prompted_base(tiny_base, LABEL_SETS["fourteen"])
    merge_adapter(base.model, tiny_model)
    engine = PyTorchEngine(base.model, [5, 6, 7])
    expected = score_rows(engine, [[1, 2, 3], [4]], LabelTrie([[8, 9], [8, 10], [11]], []))
    log_probs, continued = json.loads(written)
    np.testing.assert_allclose(log_probs, expected.log_probs, atol=1e-4)
    assert continued == continue_greedily(engine, [1, 2], 5, lambda _: False)


def test_a_long_text_is_read_at_its_positions(tmp_path: Path, tokenizer: Any) -> None:
    folder = save_base(tmp_path / "base", tiny_config(len(tokenizer)), tokenizer)
    base = prompted_base(folder, LABEL_SETS["fourteen"])
    size = base.model.config.vocab_size
    rows = [np.random.default_rng(length).integers(3, size, length).tolist() for length in (1, 7, 700)]
    plain, fast = (score_rows(base.engine(name), rows, base.trie) for name in ("pytorch", OPENVINO))
    np.testing.assert_allclose(fast.log_probs, plain.log_probs, atol=1e-4)
