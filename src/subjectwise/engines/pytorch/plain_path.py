"""The reference path of scoring, to which tests hold every engine equal: no cache, no batch, no padding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from subjectwise.engines.label_trie import LabelTrie
from subjectwise.types import FloatArray, LanguageModel


def plain_log_probs(model: LanguageModel, prompt_ids: Sequence[int], trie: LabelTrie) -> FloatArray:
    """Return the summed log-probability of each label after one prompt, one pass per beginning that labels share.

    Args:
        model: a causal language model, in float32 for a reference.
        prompt_ids: prefix and row.
        trie: of the labels.

    Returns:
        [1, labels], not normalised over the labels.
    """
    after: dict[tuple[int, ...], torch.Tensor] = {}  # [start + 1, vocabulary]
    with torch.inference_mode():
        for start in {tuple(path[:-1]) for path in trie.paths}:
            tokens = torch.tensor([[*prompt_ids, *start]], device=model.device)  # [1, prompt + start]
            after[start] = model(input_ids=tokens).logits[0, len(prompt_ids) - 1 :].float().log_softmax(-1)
    summed = [
        sum(float(after[tuple(path[:-1])][depth, token]) for depth, token in enumerate(path)) for path in trie.paths
    ]
    return np.array([summed])
