"""The plain path sums the log-probabilities of a label's tokens as a causal language model gives them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from subjectwise.engines.label_trie import LabelTrie
from subjectwise.engines.pytorch.plain_path import plain_log_probs
from subjectwise.models.base_model import load_base


def test_it_is_the_sum_over_the_tokens_of_each_label(tiny_base: Path) -> None:
    model = load_base(str(tiny_base), device="cpu", dtype="float32").model.eval()
    trie, prompt = LabelTrie([[5, 6, 7], [5, 8], [9]], end_ids=[0]), [20, 21, 22]
    summed = plain_log_probs(model, prompt, trie)
    assert summed.shape == (1, 3)
    for label, path in enumerate([[5, 6], [5, 8], [9]]):
        total = 0.0
        for size, token in enumerate(path):
            with torch.no_grad():
                logits = model(input_ids=torch.tensor([[*prompt, *path[:size]]])).logits[0, -1]
            total += float(logits.log_softmax(-1)[token])
        assert summed[0, label] == pytest.approx(total, abs=1e-4)
