"""Baselines learn, are calibrated whatever the validation rows, and answer the same after loading."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from helpers.baselines import LABELS, accuracy, labelled_rows, save_sentence_encoder
from subjectwise.baselines.baseline import Baseline
from subjectwise.baselines.estimators import KINDS
from subjectwise.data.split import open_split
from subjectwise.errors import DataError, ModelFolderError, SubjectwiseError
from subjectwise.labels import LabelSet
from subjectwise.question_classifier import QuestionClassifier
from subjectwise.records import Example, Question


@pytest.mark.parametrize("kind", KINDS)
def test_it_learns_and_answers_the_same_after_loading(
    kind: str, split_folder: Path, encoder: Path, tmp_path: Path
) -> None:
    data = open_split(split_folder)
    baseline: QuestionClassifier = Baseline.fit(
        kind, data.examples("train"), data.examples("validation"), data.labels, encoder=str(encoder)
    )
    assert isinstance(baseline, Baseline) and list(baseline.classes_) == list(data.labels)
    assert baseline.config.results["validation"]["rows"] == len(data.examples("validation"))
    if kind != "majority":
        assert accuracy(baseline, data.examples("test")) > 0.6
    baseline.save(tmp_path / "saved", manifest_sha256=data.manifest_sha256)
    loaded = Baseline.load(tmp_path / "saved")
    questions: list[Question | str] = [
        *(row.question for row in data.examples("test")),
        "How do neurons transmit signals?",
    ]
    assert np.array_equal(baseline.predict_proba(questions), loaded.predict_proba(questions))
    assert loaded.config.manifest_sha256 == data.manifest_sha256 and loaded.warning == ""
    assert loaded.config.results == baseline.config.results
    assert (loaded.temperature, dict(loaded.thresholds), loaded.prior) == (
        baseline.temperature, dict(baseline.thresholds), baseline.prior,
    )  # fmt: skip
    assert loaded.predict_proba([]).shape == (0, 4)
    encoded = loaded.encode([Question("x" * 80)])
    assert encoded[0].ids == [] and encoded[0].tokens == 21
    np.testing.assert_array_equal(loaded.score(["x"], encoded=encoded).probabilities, loaded.predict_proba(["x"]))


def test_the_majority_has_the_shares_of_the_labels() -> None:
    rows = labelled_rows()[:36]
    baseline = Baseline.fit("majority", rows, labelled_rows(["biology"]), LabelSet(("biology", "computer science")))
    assert baseline.predict_proba(["What is a gene?"])[0] == pytest.approx([24 / 36, 12 / 36])


def test_a_shown_option_is_read() -> None:
    baseline = Baseline.fit("tfidf-svm", labelled_rows(), labelled_rows(), LABELS)
    question = Question("Which of the following is true?", ("photon", "momentum"))
    hidden, shown = baseline.predict_proba([question.without_options(), question])
    assert shown[LABELS.index("physics")] > hidden[LABELS.index("physics")] + 0.1


def test_columns_follow_the_label_set_of_two() -> None:
    turned = LabelSet(("physics", "biology"))
    rows = labelled_rows(turned.names)
    baseline = Baseline.fit("tfidf-svm", rows, rows, turned)
    assert list(baseline.classes_) == ["physics", "biology"]
    assert accuracy(baseline, rows) == 1.0


@pytest.mark.parametrize("validation", [[], labelled_rows(["law"])])
def test_probabilities_are_calibrated_whatever_the_validation_rows(validation: list[Example]) -> None:
    baseline = Baseline.fit("tfidf-svm", labelled_rows(), validation, LABELS)
    # An SVM's margins alone make probabilities that are far too even.
    assert baseline.config.temperature < 0.8
    assert bool(baseline.config.results) == bool(validation)
    assert accuracy(baseline, labelled_rows()) > 0.9


def test_rows_that_cannot_be_used() -> None:
    with pytest.raises(DataError, match=r"Unknown baseline 'svm'"):
        Baseline.fit("svm", labelled_rows(), [], LABELS)
    two = LabelSet(("biology", "law"))
    with pytest.raises(DataError, match="'law' has no training rows"):
        Baseline.fit("majority", labelled_rows(["biology"]), [], two)
    with pytest.raises(DataError, match="'physics' is not one of the labels"):
        Baseline.fit("majority", labelled_rows(["biology", "law"]), labelled_rows(["physics"]), two)
    with pytest.raises(DataError, match="'law' has too few different questions for 5 folds"):
        Baseline.fit("tfidf-svm", labelled_rows(["biology"]) + labelled_rows(["law"])[:3], [], two)


def test_another_encoder(encoder: Path, tmp_path: Path) -> None:
    rows = labelled_rows()
    Baseline.fit("minilm-lr", rows, rows, LABELS, encoder=str(encoder)).save(tmp_path / "saved")
    other = save_sentence_encoder(tmp_path / "other", seed=1)
    assert "its hash differs" in Baseline.load(tmp_path / "saved", encoder=str(other)).warning
    wide = save_sentence_encoder(tmp_path / "wide", size=48)
    with pytest.raises(ModelFolderError, match=r"embeddings of width 32; those of .*wide have 48"):
        Baseline.load(tmp_path / "saved", encoder=str(wide))


def test_missing_libraries_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("sentence_transformers", "datasketch"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(SubjectwiseError, match=r"sentence_transformers.* run: pip install 'subjectwise\[baselines\]'"):
        Baseline.fit("minilm-lr", labelled_rows(), labelled_rows(), LABELS)
    with pytest.raises(SubjectwiseError, match=r"datasketch.* run: pip install 'subjectwise\[train\]'"):
        Baseline.fit("tfidf-svm", labelled_rows(), [], LABELS)


def test_it_explains_by_words_alone(split_folder: Path) -> None:
    data = open_split(split_folder)
    baseline = Baseline.fit("tfidf-svm", data.examples("train"), data.examples("validation"), data.labels)
    question = data.examples("test")[0].question
    explanation = baseline.explain(question)
    assert explanation.label == baseline.classify([question])[0].label and explanation.evidence
    with pytest.raises(DataError, match="This predictor cannot write a sentence"):
        baseline.explain("What is it?", sentence=True)
