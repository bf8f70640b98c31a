"""The Classifier: one and many, calibration, fit as scikit-learn does it, zero-shot, explanations."""

from __future__ import annotations

import copy
import pickle
import shutil
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas
import pytest
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score
from sklearn.utils.validation import check_is_fitted

from helpers.folders import copy_folder, edit, read
from helpers.tiny_models import TINY_SETTINGS, make_rows
from helpers.training import CPU
from subjectwise.classifier import Classifier
from subjectwise.data.split import open_split
from subjectwise.errors import BaseModelError, ModelFolderError, OutputError, QuestionError
from subjectwise.labels import LabelSet
from subjectwise.question_classifier import QuestionClassifier
from subjectwise.records import Question
from subjectwise.training.calibrate_model import calibrate


@pytest.fixture(scope="module")
def classifier(tiny_model: Path) -> Classifier:
    return load(tiny_model)


def load(folder: Path) -> Classifier:
    return Classifier.from_pretrained(folder, device="cpu", dtype="float32")


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
    predictor: QuestionClassifier = classifier
    questions = [row["question"] for row in make_rows()[::9]]
    probabilities = classifier.predict_proba(questions)
    assert probabilities.shape == (len(questions), 4)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    np.testing.assert_array_equal(classifier.predict(questions), classifier.classes_[probabilities.argmax(axis=1)])
    assert classifier.classify([]) == []
    assert list(predictor.labels) == list(classifier.classes_)


def test_encoded_questions_are_not_encoded_again(classifier: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    questions = [Question("What is torque?"), Question("Which tort is it?")]
    encoded = classifier.encode(questions)
    assert [item.tokens for item in encoded] == [len(item.ids) for item in encoded]
    expected = classifier.score(questions)
    monkeypatch.setattr("subjectwise.models.label_scores.LabelScorer.encode", None)
    progress = list[int]()
    scored = classifier.score(questions, encoded=encoded, on_progress=progress.append)
    np.testing.assert_array_equal(scored.probabilities, expected.probabilities)
    assert scored.label_mass is not None and scored.label_mass.shape == (2,) and sum(progress) == 2


def test_the_options_that_a_question_has_are_read(classifier: Classifier) -> None:
    question = Question("Which of these is right?", ("a photon", "a lens"))
    assert classifier.classify(question.without_options()).scores == classifier.classify(question.text).scores
    assert classifier.classify(question).scores != classifier.classify(question.text).scores


@pytest.mark.parametrize("bad", ["", "x" * 100_000, "   "])
def test_bad_questions(classifier: Classifier, bad: str) -> None:
    with pytest.raises(QuestionError):
        classifier.classify(bad)
    with pytest.raises(QuestionError):
        classifier.predict(["fine", bad])


def test_the_calibration_is_applied(tiny_model: Path, classifier: Classifier, tmp_path: Path) -> None:
    folder = copy_folder(tiny_model, tmp_path / "warm")
    calibration = read(folder / "subjectwise.json")["calibration"]
    edit(folder / "subjectwise.json", calibration=calibration | {"temperature": calibration["temperature"] * 3})
    warm, cool = load(folder).predict_proba(["What is torque?"]), classifier.predict_proba(["What is torque?"])
    np.testing.assert_allclose(warm, cool ** (1 / 3) / (cool ** (1 / 3)).sum(), atol=1e-6)


def test_misspelt_words_are_read_as_corrected_where_the_folder_says_so(
    tiny_model: Path, split_folder: Path, tmp_path: Path
) -> None:
    folder, data = copy_folder(tiny_model, tmp_path / "mine"), open_split(split_folder)
    typed, meant = "What is a photn to a lens?", "What is a photon to a lens?"

    def gap() -> float:
        first, second = load(folder).predict_proba([typed, meant])
        return float(abs(first - second).max())

    assert gap() > 0
    calibrate(folder, data, compute=CPU, spelling="en", progress=False)
    assert gap() == 0
    as_typed = Classifier.from_pretrained(folder, device="cpu", dtype="float32", spelling="none")
    first, second = as_typed.predict_proba([typed, meant])
    assert abs(first - second).max() > 0, "for this call"
    copied = copy.deepcopy(as_typed)
    assert np.array_equal(copied.predict_proba([typed, meant])[0], first), "and in its copies"
    assert as_typed.description_sha256 == f"{load(folder).description_sha256}-none", "an unfinished run is another"


def test_fit_is_a_scikit_learn_classifier(tiny_base: Path) -> None:
    estimator = Classifier("small", settings=settings_for(tiny_base), device="cpu", dtype="float32")
    assert is_classifier(estimator)
    assert clone(estimator).get_params() == estimator.get_params()
    with pytest.raises(NotFittedError):
        estimator.predict(["x"])
    rows = make_rows()
    questions = np.array([row["question"] for row in rows], dtype=object)
    labels = np.array([row["category"] for row in rows])
    with pytest.warns(UserWarning, match="validation rows are too few"):
        scores = cross_val_score(estimator, questions, labels, cv=2)
    assert scores.mean() > 0.5, "four labels; chance is 0.25"
    assert not hasattr(estimator, "classes_"), "cross-validation fits copies"


def test_fit_keeps_label_values_and_saves(tiny_base: Path, tmp_path: Path) -> None:
    rows = make_rows()
    names = sorted({row["category"] for row in rows})
    # Twelve values, so that their order as text (1, 10, 11, 2 …) is not their order as numbers.
    numbers = [names.index(row["category"]) * 3 + i % 3 for i, row in enumerate(rows)]
    estimator = Classifier(settings=(*settings_for(tiny_base), "training.epochs=1"), device="cpu", dtype="float32")
    with pytest.warns(UserWarning, match="validation rows are too few"):
        assert estimator.fit([row["question"] for row in rows], numbers) is estimator
    assert sorted(estimator.classes_) == list(range(12))
    assert [str(value) for value in estimator.classes_] == list(estimator.labels)
    predicted = estimator.predict(["What is torque?"])
    assert predicted[0] in estimator.classes_ and predicted.dtype.kind == "i"
    estimator.save_pretrained(tmp_path / "mine")
    again = load(tmp_path / "mine")
    np.testing.assert_allclose(again.predict_proba(["What is torque?"]), estimator.predict_proba(["What is torque?"]))
    with pytest.raises(OutputError, match="already exists"):
        estimator.save_pretrained(tmp_path / "mine")


@pytest.fixture(scope="module")
def fitted(tiny_base: Path) -> Classifier:
    rows = make_rows()
    numbers = [sorted({row["category"] for row in rows}).index(row["category"]) * 3 for row in rows]
    estimator = Classifier(settings=(*settings_for(tiny_base), "training.epochs=1"), device="cpu", dtype="float32")
    with pytest.warns(UserWarning, match="validation rows are too few"):
        return estimator.fit([row["question"] for row in rows], numbers)


ASKED = ["What is torque?", "Which tort is it?"]


def unpickled(content: bytes) -> Classifier:
    return pickle.loads(content)  # type: ignore[no-any-return]  # noqa: S301 (made by the test itself)


def copied(classifier: Classifier, how: str, path: Path) -> Classifier:
    if how == "pickle":
        return unpickled(pickle.dumps(classifier))
    if how == "deepcopy":
        return copy.deepcopy(classifier)
    joblib.dump(classifier, path / "classifier.joblib")
    return joblib.load(path / "classifier.joblib")  # type: ignore[no-any-return]


@pytest.mark.parametrize("how", ["pickle", "joblib", "deepcopy"])
def test_a_loaded_model_is_pickled_by_its_folder(classifier: Classifier, how: str, tmp_path: Path) -> None:
    again = copied(classifier, how, tmp_path)
    np.testing.assert_array_equal(again.predict_proba(ASKED), classifier.predict_proba(ASKED))
    assert again.get_params() == classifier.get_params() and again.weights_sha256 == classifier.weights_sha256
    assert (again.temperature, again.thresholds, again.prior) == (
        classifier.temperature, classifier.thresholds, classifier.prior,
    )  # fmt: skip
    assert len(pickle.dumps(classifier)) < 10_000, "no weights"


def test_a_fitted_model_is_pickled_with_its_files(fitted: Classifier) -> None:
    expected, pickled = fitted.predict_proba(ASKED), pickle.dumps(fitted)
    again = unpickled(pickled)
    del fitted
    np.testing.assert_array_equal(again.predict_proba(ASKED), expected)
    assert list(again.classes_) == [0, 3, 6, 9] and again.predict(ASKED).dtype.kind == "i"
    third = unpickled(pickle.dumps(again))
    np.testing.assert_array_equal(third.predict_proba(ASKED), expected)


def test_a_zero_shot_classifier_and_one_that_is_not_fitted_are_pickled(tiny_base: Path) -> None:
    labels = LabelSet(("refund", "delivery"), {"refund": "money back"})
    classifier = Classifier.zero_shot(labels, base=str(tiny_base), device="cpu", dtype="float32")
    again = unpickled(pickle.dumps(classifier))
    assert again.labels == labels and list(again.classes_) == list(classifier.classes_)
    np.testing.assert_array_equal(again.predict_proba(ASKED), classifier.predict_proba(ASKED))
    bare = unpickled(pickle.dumps(Classifier("full", device="cpu")))
    assert bare.get_params() == Classifier("full", device="cpu").get_params()
    with pytest.raises(NotFittedError):
        check_is_fitted(bare)


def test_the_folder_of_a_pickle_may_be_gone(tiny_model: Path, tmp_path: Path) -> None:
    folder = copy_folder(tiny_model, tmp_path / "model")
    pickled = pickle.dumps(load(folder))
    shutil.rmtree(folder)
    with pytest.raises(ModelFolderError, match="Unknown model folder"):
        unpickled(pickled)


def test_the_shipped_model_is_pickled_without_its_path(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("models.model_folder", "models.pickled_by_folder"):
        monkeypatch.setattr(f"subjectwise.{module}.shipped_folder", lambda: tiny_model)
    classifier = Classifier.from_pretrained(device="cpu", dtype="float32")
    pickled = pickle.dumps(classifier)
    assert str(tiny_model).encode() not in pickled
    np.testing.assert_array_equal(unpickled(pickled).predict_proba(ASKED), classifier.predict_proba(ASKED))


def test_other_processes_answer_by_joblib(classifier: Classifier) -> None:
    jobs = joblib.Parallel(n_jobs=1)(joblib.delayed(classifier.predict)([question]) for question in ASKED)
    assert list(np.concatenate(jobs)) == list(classifier.predict(ASKED))
    check_is_fitted(classifier)


def test_frames_of_one_column(tiny_base: Path) -> None:
    frame = pandas.DataFrame({"q": [row["question"] for row in make_rows()]})
    labels = pandas.DataFrame({"label": [row["category"] for row in make_rows()]})
    estimator = Classifier(settings=(*settings_for(tiny_base), "training.epochs=1"), device="cpu", dtype="float32")
    with pytest.warns(UserWarning, match="validation rows are too few"):
        estimator.fit(frame[["q"]], labels)
    assert estimator.predict(frame[["q"]]).shape == (96,)
    assert estimator.score(frame[["q"]], labels["label"]) > 0.2


def test_zero_shot(tiny_base: Path, tmp_path: Path) -> None:
    labels = LabelSet(("refund", "delivery", "late delivery"))
    classifier = Classifier.zero_shot(labels, base=str(tiny_base), device="cpu", dtype="float32")
    prediction: Any = classifier.classify("Where is my parcel?")
    assert set(prediction.scores) == set(labels)
    assert classifier.weights_sha256 == "" and classifier.config is None
    with pytest.raises(ModelFolderError, match="Cannot save a zero-shot classifier"):
        classifier.save_pretrained(tmp_path / "x")


def test_zero_shot_with_descriptions_and_examples(tiny_base: Path) -> None:
    labels = LabelSet(("re", "re fund", "delivery"), {"re": "about"}, {"delivery": ("where is it",)})
    classifier = Classifier.zero_shot(labels, base=str(tiny_base), device="cpu", dtype="float32")
    assert classifier.predict_proba(["my parcel"]).sum() == pytest.approx(1)
    assert classifier.explain("my parcel is late").label in labels.names
    with pytest.raises(BaseModelError, match="nowhere"):
        Classifier.zero_shot(labels, base="./nowhere")


def test_it_explains_what_it_answers(classifier: Classifier) -> None:
    question = "How does the enzyme change the membrane of a cell?"
    answer, explanation = classifier.classify(question), classifier.explain(question, sentence=True)
    assert explanation.label == answer.label and explanation.score == pytest.approx(answer.score)
    plain = explanation.to_dict()
    assert plain["sentence"].startswith(f"This is {explanation.label} because ") and plain["sentence"].endswith(".")
    assert set(plain["evidence"][0]) == {"text", "start", "end", "weight", "runner_up_weight"}
    assert classifier.explain(question, sentence=True).sentence == explanation.sentence, "greedy"
    assert "sentence" not in classifier.explain(question).to_dict()
    with pytest.raises(QuestionError):
        classifier.explain(" ")


def test_the_sentence_is_written_without_the_adapter(classifier: Classifier, tiny_base: Path) -> None:
    from subjectwise.engines.pytorch.engine import PyTorchEngine
    from subjectwise.explain.sentence import SentenceWriter
    from subjectwise.models.base_model import load_base

    base = load_base(str(tiny_base), device="cpu", dtype="float32")
    explanation = classifier.explain("What does a judge do in court?", sentence=True)
    writer = SentenceWriter(PyTorchEngine(base.model, []), base.tokenizer)
    assert writer.write(explanation, list(classifier.labels)) == explanation.sentence
