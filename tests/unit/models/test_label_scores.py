"""Scores of labels: normalised over the label set, with their probability mass, in the order of the questions."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from helpers.scoring import QUESTIONS, prompted_base
from subjectwise.labels import LabelSet
from subjectwise.models.label_scores import LabelScorer, normalise

ROOT = Path(__file__).parents[3]


def test_log_probabilities_are_normalised_and_the_mass_is_kept() -> None:
    scores = normalise(np.log([[0.1, 0.3], [0.5, 0.6]]))
    np.testing.assert_allclose(np.exp(scores.log_probs), [[0.25, 0.75], [5 / 11, 6 / 11]])
    np.testing.assert_allclose(scores.label_mass, [0.4, 1.0], err_msg="a mass above 1 is rounding")


def test_seventy_seven_labels_of_which_many_share_their_first_tokens(tiny_base: Path) -> None:
    labels = LabelSet.from_yaml(ROOT / "examples/banking_labels.yaml")
    base = prompted_base(tiny_base, labels, described=True, questions=2)
    assert len(labels) == 77 and len({ids[0] for ids in base.prompt.label_ids}) < 60
    scorer, progress = LabelScorer(base.model, base.prompt), list[int]()
    encoded = scorer.encode(QUESTIONS[:2])
    assert [item.ids for item in encoded] == base.rows and [item.tokens for item in encoded] == list(
        map(len, base.rows)
    )
    fast = scorer.score(encoded, progress.append)
    assert sum(progress) == 2 and scorer.labels == labels
    np.testing.assert_allclose(fast.log_probs, base.plain_scores().log_probs, atol=2e-4)
    np.testing.assert_allclose(np.exp(fast.log_probs).sum(axis=1), 1)
