"""Ways of answering that gpu.py compares on one GPU, and a base with random weights to compare them on."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from subjectwise.engines.pytorch.engine import PyTorchEngine
from subjectwise.engines.pytorch.packs import PackSize
from subjectwise.labels import MMLU_PRO_LABELS, LabelSet
from subjectwise.models.base_model import load_base
from subjectwise.models.encode_ahead import encode_and_score
from subjectwise.models.label_scores import LabelScorer
from subjectwise.recipe import PromptSettings
from subjectwise.records import Question
from subjectwise.text.prompt import Prompt
from subjectwise.types import LanguageModel

LABELS = LabelSet(MMLU_PRO_LABELS)
MAX_TOKENS = 256

# Rows of a batch of the plain ways, which are sorted by length.
PLAIN_BATCH = 64
NEW_TOKENS = 10  # of the model card's loop

_END = "<|end|>"  # of a text, in the tokenizer of a trial

TINY_SIZES = tuple(PackSize.of(tokens) for tokens in (64, 256, 1024))

# From questions to the index of each one's label.
Answer = Callable[[Sequence[str]], list[int]]


@dataclass(frozen=True)
class Setting:
    """What is measured on.

    Attributes:
        device: a GPU, or the CPU for a trial.
        tiny: models of a few thousand weights, for a trial.
        base: a folder with a base of random weights.
    """

    device: torch.device
    tiny: bool
    base: Path

    @property
    def packs(self) -> Sequence[PackSize] | None:
        """The sizes of packs: the engine's own on a GPU, small ones, uncaptured, on a CPU."""
        return None if self.device.type == "cuda" else TINY_SIZES

    def synchronize(self) -> None:
        """Wait for the device."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def write_random_base(folder: Path, source: Path | None, texts: Sequence[str], device: torch.device) -> None:
    """Write a base with random weights.

    Args:
        folder: to write to.
        source: a folder with config.json and a tokenizer; None for a tiny model with a tokenizer trained on `texts`.
        texts: for that tokenizer.
        device: on which weights are drawn.
    """
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, Qwen3Config

    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(source) if source else _trained_tokenizer(texts)
    config = AutoConfig.from_pretrained(source) if source else Qwen3Config(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=16, tie_word_embeddings=True, eos_token_id=0, pad_token_id=0,
    )  # fmt: skip
    with device:
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16 if source else torch.float32)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _trained_tokenizer(texts: Sequence[str]) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1000, special_tokens=[_END], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train_from_iterator([*texts[:500], *LABELS.names], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **dict.fromkeys(("eos_token", "pad_token"), _END))


def layer_weights(model: LanguageModel) -> int:
    """Return how many weights of the layers multiply each token."""
    return sum(weight.numel() for weight in model.get_decoder().layers.parameters())


def scorer_of(setting: Setting, style: str, packs: Sequence[PackSize] | None) -> LabelScorer:
    """Return this package's scorer around the random base."""
    base = load_base(str(setting.base), device=str(setting.device))
    prompt = Prompt(base.tokenizer, LABELS, PromptSettings(style=style, max_tokens=MAX_TOKENS))
    return LabelScorer(PyTorchEngine(base.model, prompt.prefix_ids, packs), prompt)


def ours(setting: Setting, style: str, *, packed: bool = True) -> Answer:
    """This package: each label scored as the continuation of the prompt; in packs, or in padded batches as before."""
    scorer = scorer_of(setting, style, setting.packs if packed else ())

    def answer(questions: Sequence[str]) -> list[int]:
        _, scores = encode_and_score(scorer, [Question(text) for text in questions])
        best: list[int] = scores.log_probs.argmax(axis=1).tolist()
        return best

    return answer


def plain_head(setting: Setting) -> Answer:
    """A sequence-classification head of transformers on the same base, in sorted batches."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(setting.base)
    dtype = torch.bfloat16 if setting.device.type == "cuda" else torch.float32
    model: Any = AutoModelForSequenceClassification.from_pretrained(
        setting.base, num_labels=len(LABELS.names), dtype=dtype
    )
    model = model.to(setting.device).eval()
    model.config.pad_token_id = tokenizer.pad_token_id

    def answer(questions: Sequence[str]) -> list[int]:
        best = [0] * len(questions)
        for batch in _sorted_batches(questions):
            inputs = tokenizer(
                [questions[i] for i in batch], return_tensors="pt", padding=True, truncation=True, max_length=MAX_TOKENS
            ).to(setting.device)
            with torch.inference_mode():
                for index, label in zip(batch, model(**inputs).logits.argmax(dim=-1).tolist(), strict=True):
                    best[index] = label
        return best

    return answer


def generate(setting: Setting, batch_size: int) -> Answer:
    """The model card's loop: the whole prompt, ten new tokens, greedy, the first words read as the label."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(setting.base, padding_side="left")
    dtype = torch.bfloat16 if setting.device.type == "cuda" else torch.float32
    model: Any = AutoModelForCausalLM.from_pretrained(setting.base, dtype=dtype)
    model = model.to(setting.device).eval()
    prompt = Prompt(tokenizer, LABELS, PromptSettings(style="plain", max_tokens=MAX_TOKENS))

    def answer(questions: Sequence[str]) -> list[int]:
        best = [0] * len(questions)
        for batch in _sorted_batches(questions, batch_size):
            texts = [prompt.render(Question(questions[i])) for i in batch]
            inputs = tokenizer(texts, return_tensors="pt", padding=True).to(setting.device)
            with torch.inference_mode():
                outputs = model.generate(
                    **inputs, max_new_tokens=NEW_TOKENS, do_sample=False, pad_token_id=tokenizer.pad_token_id
                )
            written = tokenizer.batch_decode(outputs[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
            for index, text in zip(batch, written, strict=True):
                best[index] = next((i for i, name in enumerate(LABELS.names) if text.strip().startswith(name)), 0)
        return best

    return answer


def _sorted_batches(questions: Sequence[str], size: int = PLAIN_BATCH) -> list[list[int]]:
    order = sorted(range(len(questions)), key=lambda index: -len(questions[index]))
    return [order[start : start + size] for start in range(0, len(order), size)]


def read_questions(file: Path) -> list[str]:
    """Return the questions of a table, or of JSON lines."""
    if file.suffix == ".jsonl":
        return [json.loads(line)["question"] for line in file.read_text(encoding="utf-8").splitlines()]
    from subjectwise.data.read_table import read_examples

    return [row.question.text for row in read_examples(str(file))]
