"""The losses are what scoring reads, and a shared prefix changes no gradient."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from helpers.encoders import LABELS, head_scorer
from helpers.training import adapted, gradients, label_batch
from subjectwise.data.split import open_split
from subjectwise.engines.pytorch.plain_path import plain_log_probs
from subjectwise.recipe import load_recipe
from subjectwise.training.losses import head_loss, token_loss
from subjectwise.training.training_rows import HeadTarget, RowView


@pytest.mark.parametrize("loss", ["label", "answer"])
def test_a_shared_prefix_has_the_same_gradients(tiny_base: Path, split_folder: Path, loss: str) -> None:
    data = open_split(split_folder)
    model, prompt, trie = adapted(tiny_base, load_recipe("small", ["prompt.style=plain"]), data.labels)
    views = [RowView(*divmod(key, 2)) for key in range(0, 24, 3)]
    batch = label_batch(data.examples("train"), prompt, trie, f"training.loss={loss}", views=views)
    values = []
    for share in (True, False):
        value = token_loss(model, prompt.prefix_ids, share, batch, per_row=True)
        value.backward()  # type: ignore[no-untyped-call]
        values.append((value.item(), gradients(model)))
    assert values[0][0] == pytest.approx(values[1][0], abs=1e-5)
    assert any(float(gradient.abs().max()) > 1e-4 for gradient in values[0][1].values())
    for name, gradient in values[0][1].items():
        torch.testing.assert_close(gradient, values[1][1][name], atol=1e-5, rtol=1e-3)


def test_the_label_loss_is_what_scoring_reads(tiny_base: Path, split_folder: Path) -> None:
    data = open_split(split_folder)
    model, prompt, trie = adapted(tiny_base, load_recipe("small"), data.labels)
    examples = data.examples("train")[:6]
    batch = label_batch(examples, prompt, trie)
    with torch.no_grad():
        loss = token_loss(model, prompt.prefix_ids, False, batch, per_row=True).item()
    expected = []
    for example, row in zip(examples, prompt.encode([row.question.without_options() for row in examples]), strict=True):
        scored = plain_log_probs(model, [*prompt.prefix_ids, *row], trie)
        expected.append(-scored[0, prompt.labels.index(example.label)])
    assert loss == pytest.approx(float(np.mean(expected)), abs=1e-4)


def test_the_answer_loss_is_a_mean_over_tokens(tiny_base: Path, split_folder: Path) -> None:
    data = open_split(split_folder)
    model, prompt, trie = adapted(tiny_base, load_recipe("small"), data.labels)
    batch = label_batch(data.examples("train")[:6], prompt, trie, "training.loss=answer")
    expected = []
    with torch.no_grad():
        loss = token_loss(model, prompt.prefix_ids, False, batch, per_row=False).item()
        for item in batch:
            logits = model.get_base_model()(input_ids=torch.tensor([[*prompt.prefix_ids, *item.ids]])).logits[0]
            log_probs = logits[-len(item.targets) :].log_softmax(dim=-1)
            expected += [-float(row[token]) for row, token in zip(log_probs, item.targets, strict=True)]
    assert loss == pytest.approx(float(np.mean(expected)), abs=1e-4)


def test_smoothing_spreads_over_the_labels_at_each_position(tiny_base: Path, split_folder: Path) -> None:
    data = open_split(split_folder)
    model, prompt, trie = adapted(tiny_base, load_recipe("small"), data.labels)
    batch = label_batch(data.examples("train")[:6], prompt, trie)
    with torch.no_grad():
        sharp, half, flat = (
            token_loss(model, prompt.prefix_ids, False, batch, per_row=True, smoothing=share).item()
            for share in (0.0, 0.5, 1.0)
        )
    assert half == pytest.approx((sharp + flat) / 2, abs=1e-5)
    expected = []
    for item in batch:
        with torch.no_grad():
            logits = model.get_base_model()(input_ids=torch.tensor([[*prompt.prefix_ids, *item.ids]])).logits[0]
        log_probs = logits[-len(item.targets) :].log_softmax(dim=-1)
        expected.append(-sum(float(row[tokens].mean()) for row, tokens in zip(log_probs, item.choices, strict=True)))
    assert flat == pytest.approx(float(np.mean(expected)), abs=1e-4)


class CopiesOf(TorchDispatchMode):
    """Counts the float32 tensors of a shape that are made within it, in the backward pass too."""

    def __init__(self, shape: torch.Size) -> None:
        super().__init__()
        self.shape, self.count = shape, 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = function(*args, **(kwargs or {}))
        if isinstance(output, torch.Tensor) and output.shape == self.shape and output.dtype == torch.float32:
            self.count += 1
        return output


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_a_step_in_bfloat16_copies_no_output_head_to_float32(
    tiny_base: Path, split_folder: Path, smoothing: float
) -> None:
    data, losses, grads = open_split(split_folder), [], []
    for dtype in ("bfloat16", "float32"):
        model, prompt, trie = adapted(tiny_base, load_recipe("small"), data.labels, dtype)
        batch = label_batch(data.examples("train")[:6], prompt, trie)
        shape = model.get_base_model().get_output_embeddings().weight.shape
        with CopiesOf(shape) as copies:
            loss = token_loss(model, prompt.prefix_ids, False, batch, per_row=True, smoothing=smoothing)
            loss.backward()  # type: ignore[no-untyped-call]
        losses.append(loss.item())
        grads.append(torch.cat([gradient.flatten() for gradient in gradients(model).values()]).float())
        if dtype == "bfloat16":
            assert copies.count == 0
            with CopiesOf(shape) as copies:
                model.get_base_model().get_output_embeddings().weight.float()
            assert copies.count == 1, "such a copy would be seen"
    assert losses[0] == pytest.approx(losses[1], rel=0.01)
    assert float(torch.nn.functional.cosine_similarity(*grads, dim=0)) > 0.98


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_heads_loss_is_cross_entropy_over_the_labels(head_bases: dict[str, Path], smoothing: float) -> None:
    scorer = head_scorer(head_bases["decoder"])
    batch = [HeadTarget([5, 6, 7], 0), HeadTarget([8], 2), HeadTarget([9, 10], 3)]
    with torch.no_grad():
        loss = head_loss(scorer, batch, smoothing).item()
        log_probs = torch.cat([scorer.logits([item.ids]).log_softmax(-1) for item in batch])
    truth = torch.tensor([item.label for item in batch])
    sharp, flat = -log_probs[torch.arange(3), truth], -log_probs.mean(dim=1)
    assert loss == pytest.approx(float(((1 - smoothing) * sharp + smoothing * flat).mean()), abs=1e-5)
    assert len(LABELS) == log_probs.shape[1]
