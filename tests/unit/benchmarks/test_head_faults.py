"""The faults that the comparison measures: each changes what it says, can be trained, and ends with its block."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from comparison_rows import LOST_HEAD, ROWS
from head_faults import FAULTS, NoPadTokenScorer, RowEndScorer, WholeTextRows, injected
from safetensors.torch import load_file

from helpers.encoders import HEAD_PROMPT, LABELS, base_with_head, head_scorer
from helpers.tiny_models import make_rows
from helpers.training import CPU, adapted, head_recipe
from subjectwise.classifier import Classifier
from subjectwise.data.split import SplitFolder, open_split
from subjectwise.models.base_model import load_base
from subjectwise.recipe import Recipe, load_recipe
from subjectwise.records import Question
from subjectwise.training.losses import token_loss
from subjectwise.training.train import train
from subjectwise.training.training_rows import RowView

QUESTIONS = [Question(row["question"]) for row in make_rows()[::7]]


@pytest.fixture(scope="module")
def data(split_folder: Path) -> SplitFolder:
    return open_split(split_folder)


def test_every_row_of_the_comparison_can_be_trained() -> None:
    for row in ROWS:
        if not row.is_baseline:
            load_recipe(row.recipe, row.settings)
        assert row.fault in ("", LOST_HEAD, *FAULTS)
    assert {row.fault for row in ROWS} >= {"row_end", "no_pad_token", "untrained_head", LOST_HEAD}


def test_the_end_of_the_padded_row_gives_other_answers_whatever_the_batch(head_bases: dict[str, Path]) -> None:
    base = head_bases["decoder"]
    right, wrong = head_scorer(base), RowEndScorer(base_with_head(base), LABELS, HEAD_PROMPT)
    rows = right.encoder.encode(QUESTIONS)
    with torch.no_grad():
        assert float((right.logits(rows) - wrong.logits(rows)).abs().max()) > 0.01
        alone = torch.cat([wrong.logits([row]) for row in rows])
        torch.testing.assert_close(wrong.logits(rows), alone, atol=1e-5, rtol=1e-4)


def test_without_a_pad_token_rows_are_read_one_at_a_time(head_bases: dict[str, Path]) -> None:
    base = head_bases["decoder"]
    scorer, usual = NoPadTokenScorer(base_with_head(base), LABELS, HEAD_PROMPT), head_scorer(base)
    batches = list[int]()
    scores = scorer.score(scorer.encode(QUESTIONS), batches.append)
    assert batches == [1] * len(QUESTIONS)
    np.testing.assert_allclose(scores.log_probs, usual.score(usual.encode(QUESTIONS)).log_probs, atol=1e-4)
    with pytest.raises(ValueError, match="batch sizes > 1"):
        scorer.model(input_ids=torch.tensor([[1, 2], [3, 4]]))


def test_the_whole_text_loss_is_the_causal_models_own(tiny_base: Path, data: SplitFolder) -> None:
    model, prompt, trie = adapted(tiny_base, load_recipe("small"), data.labels)
    row = WholeTextRows(data.examples("train")[:1], prompt, trie, load_recipe("small").training)[RowView(0)]
    whole = torch.tensor([[*row.ids, row.targets[-1]]])
    with torch.no_grad():
        ours = token_loss(model, [], False, [row], per_row=False)
        theirs = model(input_ids=whole, labels=whole).loss
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("fault", FAULTS)
def test_it_trains_and_ends_with_its_block(
    tmp_path: Path, head_bases: dict[str, Path], tiny_recipe: Recipe, data: SplitFolder, fault: str
) -> None:
    settings = ["training.epochs=1", "training.learning_rate=5e-3"]
    if fault == "no_pad_token":
        settings += ["training.batch_size=1", "training.gradient_accumulation=8"]
    base = head_bases["decoder"]
    recipe = (
        replace(tiny_recipe, base=str(base)).with_settings(settings)
        if fault == "whole_text"
        else head_recipe(base, *settings)
    )

    def answers() -> np.ndarray:
        classifier = Classifier.from_pretrained(tmp_path / "m", device="cpu", dtype="float32")
        return classifier.predict_proba(QUESTIONS)

    with injected(fault):
        train(recipe, data, tmp_path / "m", compute=CPU, progress=False)
        with_fault = answers()
    same = np.allclose(answers(), with_fault, atol=1e-4)
    assert same == (fault != "row_end"), "the others are faults of training alone"


def test_an_untrained_head_stays_as_it_was_drawn(
    tmp_path: Path, head_bases: dict[str, Path], data: SplitFolder
) -> None:
    recipe = head_recipe(head_bases["decoder"], "training.epochs=1")
    with injected("untrained_head"):
        train(recipe, data, tmp_path / "m", compute=CPU, progress=False)
    torch.manual_seed(recipe.training.seed)
    drawn = load_base(recipe.base, device="cpu", dtype="float32", labels=data.labels.names).model.score.weight
    saved = load_file(tmp_path / "m" / "adapter_model.safetensors")["base_model.model.score.weight"]
    assert torch.equal(saved, drawn)
