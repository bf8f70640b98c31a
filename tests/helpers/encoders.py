"""Tiny encoders with random weights, and a tokenizer of words; a head on any base."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModel, BertConfig, ModernBertConfig, MPNetConfig

from helpers.tiny_models import corpus, save_random
from subjectwise.labels import LabelSet
from subjectwise.models.base_model import Base, load_base
from subjectwise.models.classification_head import HeadScorer, prepare_head
from subjectwise.recipe import PromptSettings

LABELS = LabelSet(("biology", "computer science", "law", "physics"))
ENCODERS: dict[str, Callable[..., Any]] = {"bert": BertConfig, "modernbert": ModernBertConfig, "mpnet": MPNetConfig}
HEAD_PROMPT = PromptSettings(max_tokens=48)


def word_tokenizer() -> Any:
    """A tokenizer of words with a start and an end token, as encoders have."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    special = {"cls_token": "<s>", "pad_token": "<pad>", "sep_token": "</s>", "unk_token": "<unk>"}
    tokenizer = Tokenizer(models.WordLevel(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.train_from_iterator(corpus(), trainers.WordLevelTrainer(special_tokens=list(special.values())))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)


def save_encoder(folder: Path, kind: str) -> Path:
    tokenizer = word_tokenizer()
    values: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 66,
        "pad_token_id": 1,
    }
    if kind == "modernbert":
        values |= {"bos_token_id": 0, "eos_token_id": 2, "cls_token_id": 0, "sep_token_id": 2}
    torch.manual_seed(0)
    return save_random(folder, AutoModel.from_config(ENCODERS[kind](**values)), tokenizer)


def base_with_head(folder: Path, seed: int = 1) -> Base:
    """A base in float32 on the CPU whose new head is drawn with the seed."""
    torch.manual_seed(seed)
    base = load_base(str(folder), device="cpu", dtype="float32", labels=LABELS.names)
    prepare_head(base)
    return base


def head_scorer(folder: Path) -> HeadScorer:
    return HeadScorer(base_with_head(folder), LABELS, HEAD_PROMPT)
