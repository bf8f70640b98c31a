"""The losses: cross-entropy at the tokens that scoring reads, or over a head's labels. Knows no Trainer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from subjectwise.engines.pytorch.forward import run_prefix, run_rows
from subjectwise.engines.pytorch.output_head import OutputHead
from subjectwise.models.classification_head import HeadScorer
from subjectwise.training.training_rows import HeadTarget, TokenTargets
from subjectwise.types import LanguageModel


def head_loss(scorer: HeadScorer, batch: Sequence[HeadTarget], smoothing: float = 0.0) -> Tensor:
    """Return cross-entropy over the labels, a mean over rows; `smoothing` as in `token_loss`."""
    logits = scorer.logits([item.ids for item in batch])  # [rows, labels]
    labels = torch.tensor([item.label for item in batch], device=logits.device)
    return torch.nn.functional.cross_entropy(logits, labels, label_smoothing=smoothing)


def token_loss(
    model: LanguageModel,
    prefix_ids: Sequence[int],
    share: bool,
    batch: Sequence[TokenTargets],
    per_row: bool,
    smoothing: float = 0.0,
) -> Tensor:
    """Return cross-entropy over the full vocabulary at the targets.

    Args:
        model: to train.
        prefix_ids: the prompt's prefix.
        share: whether the prefix is run once for the batch.
        batch: rows and their targets.
        per_row: a mean over rows; else over tokens.
        smoothing: the share of a target's probability that is spread evenly over its choices (label smoothing,
            Szegedy et al. 2016, over the labels and not over the vocabulary).
    """
    prefix = run_prefix(model, prefix_ids, share)
    hidden = run_rows(model, prefix, [item.ids for item in batch])  # [rows, longest, hidden]
    rows = [i for i, item in enumerate(batch) for _ in item.targets]
    columns = [i for item in batch for i in range(len(item.ids) - len(item.targets), len(item.ids))]
    targets = torch.tensor([token for item in batch for token in item.targets], device=hidden.device)
    choices = [tokens for item in batch for tokens in item.choices]
    # As scoring does it: what is read is exact, the rest of the vocabulary is in the precision of the weights.
    exact = choices if smoothing else [[token] for item in batch for token in item.targets]
    logits = OutputHead(model).vocabulary_logits(hidden[rows, columns], exact)  # [targets, vocabulary]
    total = torch.nn.functional.cross_entropy(logits, targets, reduction="sum")
    if smoothing:
        log_probs = logits.log_softmax(dim=-1)
        spread = -torch.stack([row[tokens].mean() for row, tokens in zip(log_probs, choices, strict=True)]).sum()
        total = (1 - smoothing) * total + smoothing * spread
    return total / (len(batch) if per_row else len(targets))
