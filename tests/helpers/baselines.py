"""Rows for baselines, and a tiny sentence encoder as it is published."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from helpers.tiny_models import WORDS, make_rows
from subjectwise.baselines.baseline import Baseline
from subjectwise.labels import LabelSet
from subjectwise.records import Example, Question

LABELS = LabelSet(tuple(WORDS))


def labelled_rows(labels: Sequence[str] = tuple(WORDS)) -> list[Example]:
    return [
        Example(str(row["question_id"]), Question(row["question"]), row["category"], row["src"])
        for row in make_rows()
        if row["category"] in labels
    ]


def save_sentence_encoder(folder: Path, size: int = 32, seed: int = 0) -> Path:
    """A sentence-transformers folder as they are published: a tiny BERT with random weights, mean pooling."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    torch.manual_seed(seed)
    words = sorted({word for row in make_rows() for word in row["question"].lower().strip("?.").split()})
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    base = folder.with_name(f"{folder.name}-base")
    config = BertConfig(
        vocab_size=len(vocabulary), hidden_size=size, num_hidden_layers=1, num_attention_heads=2, intermediate_size=48
    )
    BertModel(config).save_pretrained(base)
    BertTokenizerFast(vocab={word: i for i, word in enumerate(vocabulary)}).save_pretrained(base)
    transformer = Transformer(str(base), max_seq_length=32)
    SentenceTransformer(modules=[transformer, Pooling(size)], device="cpu").save(str(folder))
    return folder


def accuracy(baseline: Baseline, examples: Sequence[Example]) -> float:
    probabilities = baseline.predict_proba([example.question for example in examples])
    assert probabilities.shape == (len(examples), len(baseline.classes_))
    assert np.allclose(probabilities.sum(axis=1), 1) and probabilities.min() >= 0
    return float(np.mean(baseline.classes_[probabilities.argmax(axis=1)] == [row.label for row in examples]))
