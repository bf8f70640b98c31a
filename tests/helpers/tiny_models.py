"""Tiny real models with random weights, a tokenizer trained on the spot, and rows to learn from."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

TINY_SETTINGS = ("training.epochs=12", "training.patience=12", "training.learning_rate=1e-2", "training.batch_size=8")

WORDS = {
    "biology": ["cell", "neuron", "gene", "enzyme", "leaf", "organ"],
    "computer science": ["compiler", "pointer", "thread", "queue", "kernel", "parser"],
    "law": ["contract", "tort", "statute", "court", "plaintiff", "appeal"],
    "physics": ["photon", "quantum", "torque", "entropy", "lens", "momentum"],
}
FRAMES = [
    "What is a {a} and how does it differ from a {b}?",
    "Explain the {a} in terms of the {b}.",
    "Which {a} is needed for a {b}?",
    "How would you describe the {b} of a {a} in one sentence?",
]


def make_rows() -> list[dict[str, Any]]:
    """96 distinct questions over four labels, with options and sources."""
    rows: list[dict[str, Any]] = []
    for label, words in WORDS.items():
        pairs = itertools.islice(itertools.permutations(words, 2), 24)
        for number, (a, b) in enumerate(pairs):
            rows.append(
                {
                    "question": FRAMES[number % 4].format(a=a, b=b),
                    "options": [a, b, "none of these"],
                    "category": label,
                    "src": f"{label}-{number % 3}",
                    "question_id": len(rows) + 1,
                }
            )
    return rows


def train_tokenizer(corpus: list[str], chat: bool = True) -> Any:
    """A byte-level BPE tokenizer of 600 tokens, as GPT-2, Qwen and SmolLM2 have."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=["<|end|>", "<|user|>", "<|assistant|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(corpus, trainer)
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>", pad_token="<|end|>")
    if chat:
        wrapped.chat_template = (
            "{% for m in messages %}<|user|>\n{{ m['content'] }}<|end|>\n{% endfor %}"
            "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
        )
    return wrapped


def corpus() -> list[str]:
    lines = [f"Q: {row['question']}\nA: {row['category']}" for row in make_rows()]
    return lines * 3 + ["You are an expert academic classifier. Categories: business, biology, law"]


def save_base(folder: Path, config: Any, tokenizer: Any, seed: int = 0) -> Path:
    """Writes a causal language model with random weights, as a base on disk looks."""
    import torch
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    return save_random(folder, AutoModelForCausalLM.from_config(config), tokenizer)


def save_random(folder: Path, model: Any, tokenizer: Any) -> Path:
    import torch

    # Larger than the usual first weights, so that answers differ from each other by more than rounding.
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.15)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def tiny_config(vocab_size: int, **changes: Any) -> Any:
    from transformers import LlamaConfig

    values = {
        "vocab_size": vocab_size,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 2048,
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": 0,
        "pad_token_id": 0,
    }
    return LlamaConfig(**(values | changes))


def decoder_configs(vocab_size: int) -> dict[str, Any]:
    """One of each kind of decoder that the issues name, a few thousand weights large."""
    from transformers import Gemma2Config, Gemma3TextConfig, MistralConfig, Qwen2Config, Qwen3Config

    sizes = {
        "vocab_size": vocab_size, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "eos_token_id": 0, "pad_token_id": 0, "bos_token_id": None,
    }  # fmt: skip
    return {
        "llama": tiny_config(vocab_size),
        "untied llama": tiny_config(vocab_size, tie_word_embeddings=False),
        "qwen2": Qwen2Config(**sizes),
        "qwen3": Qwen3Config(**sizes, head_dim=16),
        "gemma2, capped logits": Gemma2Config(**sizes, head_dim=16, sliding_window=4096),
        "gemma3, narrow window": Gemma3TextConfig(**sizes, head_dim=16, sliding_window=16),
        "mistral, narrow window": MistralConfig(**sizes, sliding_window=16),
    }


def embedded_installed() -> bool:
    from subjectwise.errors import BaseModelError
    from subjectwise.models.gguf import embedded_file

    try:
        embedded_file()
    except BaseModelError:
        return False
    return True


needs_base = pytest.mark.skipif(not embedded_installed(), reason="the embedded base is not installed; run make install")
