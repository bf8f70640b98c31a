from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score

from helpers.tiny_models import TINY_SETTINGS, make_rows
from subjectwise.classifier import Classifier
from subjectwise.errors import DataError, ModelFolderError, OutputError, QuestionError
from subjectwise.labels import LabelSet
from subjectwise.records import Predictor, Question


@pytest.fixture(scope="module")
def classifier(tiny_model: Path) -> Classifier:
    return Classifier.from_pretrained(tiny_model, device="cpu", dtype="float32")


def settings_for(base: Path) -> tuple[str, ...]:
    return (*TINY_SETTINGS, f"base={base}")


def test_one_and_many_are_equal(classifier: Classifier) -> None:
    questions = [row["question"] for row in make_rows()[::7]]
    many = classifier.classify(questions)
    assert [item.question for item in many] == questions
    for question, prediction in zip(questions, many, strict=True):
        one = classifier.classify(question)
        assert one.label == prediction.label
        assert one.scores == pytest.approx(prediction.scores, abs=1e-4)
        assert sum(one.scores.values()) == pytest.approx(1)
        assert one.score == max(one.scores.values()) == one.scores[one.label]
        assert one.label_mass is not None and 0 <= one.label_mass <= 1


def test_predict_and_predict_proba(classifier: Classifier) -> None:
    assert isinstance(classifier, Predictor)
    questions = [row["question"] for row in make_rows()[::9]]
    probabilities = classifier.predict_proba(questions)
    assert probabilities.shape == (len(questions), 4)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    np.testing.assert_array_equal(classifier.predict(questions), classifier.classes_[probabilities.argmax(axis=1)])
    assert classifier.classify([]) == []


def test_options_are_read_where_asked(classifier: Classifier) -> None:
    question = Question("Which of these is right?", ("a photon", "a lens"))
    assert classifier.classify(question).scores == classifier.classify(question.text).scores
    assert classifier.classify(question, with_options=True).scores != classifier.classify(question.text).scores


@pytest.mark.parametrize("bad", ["", "x" * 100_000, "a\x00b", "   "])
def test_bad_questions(classifier: Classifier, bad: str) -> None:
    with pytest.raises(QuestionError):
        classifier.classify(bad)
    with pytest.raises(QuestionError):
        classifier.predict(["fine", bad])


def test_the_calibration_is_applied(tiny_model: Path, classifier: Classifier, tmp_path: Path) -> None:
    import shutil

    copy = Path(shutil.copytree(tiny_model, tmp_path / "warm"))
    config = json.loads((copy / "subjectwise.json").read_text())
    temperature = config["calibration"]["temperature"]
    config["calibration"]["temperature"] = temperature * 3
    (copy / "subjectwise.json").write_text(json.dumps(config))
    warm = Classifier.from_pretrained(copy, device="cpu", dtype="float32").predict_proba(["What is torque?"])
    cool = classifier.predict_proba(["What is torque?"])
    expected = cool ** (1 / 3) / (cool ** (1 / 3)).sum()
    np.testing.assert_allclose(warm, expected, atol=1e-6)


def test_fit_is_a_scikit_learn_classifier(tiny_base: Path) -> None:
    estimator = Classifier("small", settings=settings_for(tiny_base), device="cpu", dtype="float32")
    assert is_classifier(estimator)
    assert clone(estimator).get_params() == estimator.get_params()
    with pytest.raises(NotFittedError):
        estimator.predict(["x"])
    rows = make_rows()
    questions = np.array([row["question"] for row in rows], dtype=object)
    labels = np.array([row["category"] for row in rows])
    scores = cross_val_score(estimator, questions, labels, cv=2)
    assert scores.mean() > 0.5, "four labels; chance is 0.25"
    assert not hasattr(estimator, "classes_"), "cross-validation fits copies"


def test_fit_keeps_label_values_and_saves(tiny_base: Path, tmp_path: Path) -> None:
    rows = make_rows()
    names = sorted({row["category"] for row in rows})
    # Twelve values, so that their order as text (1, 10, 11, 2 …) is not their order as numbers.
    numbers = [names.index(row["category"]) * 3 + i % 3 for i, row in enumerate(rows)]
    estimator = Classifier(settings=(*settings_for(tiny_base), "training.epochs=1"), device="cpu", dtype="float32")
    assert estimator.fit([row["question"] for row in rows], numbers) is estimator
    assert sorted(estimator.classes_) == list(range(12))
    assert [str(value) for value in estimator.classes_] == list(estimator.labels)
    predicted = estimator.predict(["What is torque?"])
    assert predicted[0] in estimator.classes_ and predicted.dtype.kind == "i"
    estimator.save_pretrained(tmp_path / "mine")
    again = Classifier.from_pretrained(tmp_path / "mine", device="cpu", dtype="float32")
    np.testing.assert_allclose(again.predict_proba(["What is torque?"]), estimator.predict_proba(["What is torque?"]))
    with pytest.raises(OutputError, match="exists already"):
        estimator.save_pretrained(tmp_path / "mine")


def test_bad_training_data(tiny_base: Path) -> None:
    estimator = Classifier(settings=settings_for(tiny_base))
    with pytest.raises(DataError, match="2 questions for 1 labels"):
        estimator.fit(["a", "b"], ["law"])
    with pytest.raises(DataError, match="at least two labels"):
        estimator.fit(["a", "b"], ["law", "law"])
    with pytest.raises(DataError, match="cannot be divided"):
        estimator.fit(["a", "b", "c"], ["law", "law", "art"])
    with pytest.raises(DataError, match="validation_share"):
        Classifier(validation_share=0.9).fit(["a"], ["law"])


def test_zero_shot(tiny_base: Path, tmp_path: Path) -> None:
    labels = LabelSet(("refund", "delivery", "late delivery"))
    classifier = Classifier.zero_shot(labels, base=str(tiny_base), device="cpu", dtype="float32")
    prediction: Any = classifier.classify("Where is my parcel?")
    assert set(prediction.scores) == set(labels)
    with pytest.raises(ModelFolderError, match="nothing to save"):
        classifier.save_pretrained(tmp_path / "x")
