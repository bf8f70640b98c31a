"""Scores of labels: normalised over the label set, with their probability mass, in the order of the questions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from helpers.scoring import QUESTIONS, prompted_base
from subjectwise.engines.pytorch.engine import PyTorchEngine
from subjectwise.engines.pytorch.plain_path import plain_log_probs
from subjectwise.labels import LabelSet
from subjectwise.models.base_model import load_base
from subjectwise.models.label_scores import LabelScorer, normalise
from subjectwise.recipe import PromptSettings
from subjectwise.text.prompt import Prompt

ROOT = Path(__file__).parents[3]


def test_log_probabilities_are_normalised_and_the_mass_is_kept() -> None:
    scores = normalise(np.log([[0.1, 0.3], [0.5, 0.6]]))
    np.testing.assert_allclose(np.exp(scores.log_probs), [[0.25, 0.75], [5 / 11, 6 / 11]])
    np.testing.assert_allclose(scores.label_mass, [0.4, 1.0], err_msg="a mass above 1 is rounding")


def test_seventy_seven_labels_of_which_many_share_their_first_tokens(tiny_base: Path) -> None:
    labels = LabelSet.from_yaml(ROOT / "examples/banking_labels.yaml")
    base = prompted_base(tiny_base, labels, described=True, questions=2)
    assert len(labels) == 77 and len({ids[0] for ids in base.prompt.label_ids}) < 60
    scorer, progress = LabelScorer(base.engine(), base.prompt), list[int]()
    encoded = scorer.encode(QUESTIONS[:2])
    assert [item.ids for item in encoded] == base.rows and [item.tokens for item in encoded] == list(
        map(len, base.rows)
    )
    fast = scorer.score(encoded, progress.append)
    assert sum(progress) == 2 and scorer.labels == labels
    np.testing.assert_allclose(fast.log_probs, base.plain_scores().log_probs, atol=2e-4)
    np.testing.assert_allclose(np.exp(fast.log_probs).sum(axis=1), 1)


def test_the_answer_for_requests_of_no_label_is_beside_the_labels() -> None:
    scores = normalise(np.log([[0.1, 0.3, 0.4], [0.3, 0.6, 0.05]]), labels=2)
    np.testing.assert_allclose(np.exp(scores.log_probs), [[0.25, 0.75], [1 / 3, 2 / 3]])
    np.testing.assert_allclose(scores.label_mass, [0.4, 0.9])
    assert scores.in_scope is not None
    np.testing.assert_allclose(scores.in_scope, np.log([1.0, 18.0]), atol=1e-12)


def test_it_is_scored_as_every_other_answer(tiny_base: Path) -> None:
    labels = LabelSet(("law", "math"))
    base = load_base(str(tiny_base), device="cpu", dtype="float32")
    prompt = Prompt(base.tokenizer, labels, PromptSettings(out_of_scope=True))
    scorer = LabelScorer(PyTorchEngine(base.model, prompt.prefix_ids), prompt)
    encoded = scorer.encode(QUESTIONS[:3])
    scores = scorer.score(encoded)
    assert scores.log_probs.shape == (3, 2) and scores.in_scope is not None
    for row, question in enumerate(encoded):
        summed = plain_log_probs(base.model, [*prompt.prefix_ids, *question.ids], scorer.trie)[0]
        assert scores.in_scope[row] == pytest.approx(np.logaddexp(*summed[:2]) - summed[2], abs=2e-4)
    plain = LabelScorer(scorer.engine, Prompt(base.tokenizer, labels, PromptSettings()))
    assert plain.score(encoded).in_scope is None
