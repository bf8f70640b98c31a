"""A cascade: who answers what, how both are combined, and what is explained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers.fake_classifiers import FakeClassifier, one_hot_like
from helpers.fast_models import SMALL_TALK, examples, tiny_fast_model
from subjectwise.baselines.cascade import Cascade
from subjectwise.errors import DataError, ModelFolderError
from subjectwise.models.fast_model import FastModel, save_fast_model
from subjectwise.models.model_config import FAST_FOLDER
from subjectwise.records import BY_FAST, BY_MODEL, Decision, EncodedQuestion, Question, Scored
from subjectwise.statistics.cascade import NEVER, Pooling, Promise
from subjectwise.types import FloatArray, Progress

SURE = "What is a neuron and how does it differ from a gene?"
NOVEL = "Was ist ein zyzzyva?"


class Slow(FakeClassifier):
    """Says physics to everything, tells scope, and keeps what it was asked."""

    min_in_scope = 0.5

    def __init__(self, labels: Sequence[str]) -> None:
        super().__init__(labels, lambda asked: one_hot_like([3] * len(asked), len(labels)))
        self.asked: list[str] = []
        self.read: list[EncodedQuestion] = []
        self.weights_sha256 = "slow"

    def score(
        self,
        questions: Sequence[Question | str],
        *,
        encoded: Sequence[EncodedQuestion] | None = None,
        on_progress: Progress | None = None,
    ) -> Scored:
        scored = super().score(questions, on_progress=on_progress)
        self.asked += [question.text for question in questions if isinstance(question, Question)]
        self.read += encoded or []
        return replace(scored, in_scope=np.full(len(questions), 0.4), label_mass=np.full(len(questions), 0.9))


@pytest.fixture(scope="module")
def fast() -> FastModel:
    model = tiny_fast_model()
    promises = {"0": Promise(0.6, 0.5, {"0.95": 0.9}), "1": Promise(0.0, 1.0), NEVER: Promise()}
    config = replace(model.config, promises=promises, min_known=0.5, model_sha256="slow")
    return FastModel(config, model.weights, "fast")


@pytest.fixture
def slow(fast: FastModel) -> Slow:
    return Slow(list(fast.labels))


def test_the_fast_model_answers_what_it_is_sure_of(fast: FastModel, slow: Slow) -> None:
    cascade = Cascade(fast, slow)
    progress: list[int] = []
    sure, novel = cascade.classify([SURE, NOVEL], on_progress=progress.append)
    assert (sure.answered_by, sure.label) == (BY_FAST, "biology") and slow.asked == [NOVEL]
    assert (novel.answered_by, novel.label) == (BY_MODEL, "physics")
    assert sum(progress) == 2 and sure.to_dict()["answered_by"] == "fast"
    assert "answered_by" not in slow.classify(SURE).to_dict()
    assert sure.in_scope is not None and sure.in_scope >= 0.5 and novel.in_scope == 0.4
    assert sure.label_mass is not None and sure.label_mass > 0.6 and novel.label_mass == 0.9
    # Nothing but answers of the fast model has the same fields.
    alone = cascade.classify([SURE])[0]
    assert alone == sure and cascade.score([]).probabilities.shape == (0, 4)


def test_what_may_belong_to_no_label_is_for_the_language_model(fast: FastModel, slow: Slow) -> None:
    """Small talk, of which every word is known, is flagged even where any confidence is enough."""
    decision = Decision(min_in_scope=0.5)
    predictions = Cascade(fast, slow, "1").classify(SMALL_TALK, decision=decision)
    assert {prediction.answered_by for prediction in predictions} == {BY_MODEL}
    assert {prediction.label for prediction in predictions} == {"abstain"}
    # Without a language model that tells, there is nothing to wait for.
    slow.min_in_scope = None  # type: ignore[assignment]
    assert Cascade(fast, slow, "1").classify(SMALL_TALK[0]).in_scope is None


def test_unknown_words_are_for_the_language_model(fast: FastModel, slow: Slow) -> None:
    open_gate = replace(fast.config, min_known=0.0)
    slow.min_in_scope = 0.0
    for config, by in ((open_gate, BY_FAST), (fast.config, BY_MODEL)):
        assert Cascade(FastModel(config, fast.weights), slow, "1").classify(NOVEL).answered_by == by


def test_probabilities_of_both_are_combined(fast: FastModel, slow: Slow) -> None:
    pooling = Pooling(0.7, 1.5)
    cascade = Cascade(FastModel(replace(fast.config, pooling=pooling), fast.weights), slow, NEVER)
    expected = pooling.combine(slow.score([SURE]).probabilities, fast.answer([SURE]).probabilities)
    np.testing.assert_allclose(cascade.score([SURE]).probabilities, expected)
    assert cascade.temperature == 1.5
    # As they are in a batch with questions that the fast model answers.
    mixed = replace(cascade, loss="0").score([NOVEL, SURE]).probabilities
    np.testing.assert_allclose(mixed[0], cascade.score([NOVEL]).probabilities[0])
    np.testing.assert_allclose(mixed[1], fast.answer([SURE]).probabilities[0])


def test_the_language_model_reads_only_what_it_answers(fast: FastModel, slow: Slow) -> None:
    cascade = Cascade(fast, slow)
    questions = [Question(SURE), Question(NOVEL)]
    encoded = cascade.encode(questions)
    assert encoded[0].tokens == 0 and [encoded[1]] == slow.encode(questions[1:])
    cascade.score(questions, encoded=encoded)
    assert slow.read == [encoded[1]]


def test_explanations_are_the_language_models(fast: FastModel, slow: Slow) -> None:
    cascade = Cascade(fast, slow)
    explanation = cascade.explain(SURE)
    assert explanation.label == "physics" and slow.asked and slow.asked[0] == SURE
    assert cascade.explainer.classify(SURE).answered_by == BY_MODEL
    explainer = cascade.explainer
    assert explainer.explainer is explainer and slow.explainer is slow


def test_it_says_what_it_is(fast: FastModel, slow: Slow) -> None:
    cascade = Cascade(fast, slow)
    assert cascade.thresholds == {"0.95": 0.9} and cascade.min_in_scope == 0.5 and not cascade.warning
    assert cascade.weights_sha256 == "slow" and cascade.description_sha256 == ""
    assert list(cascade.classes_) == list(cascade.labels) and cascade.prior == () and not cascade.reads_options
    slow.temperature = 2.0
    assert "or with another calibration of it" in cascade.warning
    slow.weights_sha256, slow.temperature = "other", 1.0
    assert "calibrated with another language model" in cascade.warning


def test_a_pair_that_does_not_fit_is_refused(fast: FastModel, slow: Slow) -> None:
    def uniform(asked: list[Question]) -> FloatArray:
        return np.full((len(asked), 2), 0.5)

    with pytest.raises(DataError, match="have different labels"):
        Cascade(fast, FakeClassifier(["law", "physics"], uniform))
    with pytest.raises(DataError, match="Unknown loss of accuracy '3'"):
        Cascade(fast, slow, "3")


def test_it_is_loaded_from_a_model_folder_or_its_own(fast: FastModel, slow: Slow, tmp_path: Path) -> None:
    folder = tmp_path / "model" / FAST_FOLDER
    folder.mkdir(parents=True)
    save_fast_model(folder, fast)
    for path in (folder, folder.parent):
        assert Cascade.load(slow, path, "1").classify(SURE).label == "biology"
    with pytest.raises(ModelFolderError, match="has no fast model; train one with 'subjectwise train-fast'"):
        Cascade.load(slow, tmp_path)


def test_the_rows_of_the_tests_are_answered(fast: FastModel, slow: Slow) -> None:
    scored = Cascade(fast, slow).score([row.question for row in examples()])
    assert scored.by_fast is not None and 0.2 < scored.by_fast.mean() < 0.95
