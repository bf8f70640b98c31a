"""Frames of pandas: the frame that comes back, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas
import pytest

from helpers.fake_classifier import FakeClassifier
from subjectwise import classify_frame
from subjectwise.errors import DataError, QuestionError
from subjectwise.records import Decision, Question

TEXTS = ["What is torque?", "Who may sue?", "Is 7 prime?"]


def frame(**columns: object) -> pandas.DataFrame:
    return pandas.DataFrame({"question": TEXTS, "id": [7, 8, 9], **columns}, index=["a", "b", "b"])


def test_answers_are_new_columns_of_a_copy() -> None:
    given = frame()
    answered = classify_frame(given, "question", FakeClassifier())
    assert list(given.columns) == ["question", "id"]
    assert list(answered.columns) == ["question", "id", "label", "score", "label_mass"]
    assert answered.index.equals(given.index) and answered["id"].tolist() == [7, 8, 9]
    expected = FakeClassifier().classify([Question(text) for text in TEXTS])
    assert answered["label"].tolist() == [answer.label for answer in expected]
    assert answered["score"].tolist() == [answer.score for answer in expected]


def test_probabilities_and_prefix() -> None:
    answered = classify_frame(frame(label="old"), "question", FakeClassifier(), probabilities=True, prefix="model_")
    assert answered["label"].tolist() == ["old"] * 3
    columns = [f"model_p({label})" for label in FakeClassifier.labels]
    assert np.allclose(answered[columns].sum(axis=1), 1)
    assert answered[columns].max(axis=1).tolist() == answered["model_score"].tolist()


def test_what_was_decided_is_shown() -> None:
    answered = classify_frame(frame(), "question", FakeClassifier(), decision=Decision(min_confidence=1.0))
    assert set(answered["label"]) == {"abstain"} and set(answered["best_label"]) <= set(FakeClassifier.labels)
    cut = frame()
    cut.loc["a", "question"] = "word " * 60
    answered = classify_frame(cut, "question", FakeClassifier())
    assert answered["truncated"].tolist() == [True, False, False]


def test_a_frame_without_rows() -> None:
    answered = classify_frame(frame().iloc[:0], "question", FakeClassifier(), probabilities=True)
    labels = [f"p({label})" for label in FakeClassifier.labels]
    assert list(answered.columns) == ["question", "id", "label", "score", *labels] and len(answered) == 0


@pytest.mark.parametrize("value", [None, float("nan"), pandas.NA, "", 3])
def test_a_bad_question_is_named_by_its_index(value: object) -> None:
    bad = frame()
    bad["question"] = bad["question"].astype(object)
    bad.loc["a", "question"] = value  # type: ignore[call-overload,unused-ignore]
    with pytest.raises(QuestionError, match="^Row 'a' of the column 'question': "):
        classify_frame(bad, "question", FakeClassifier())


def test_a_name_is_refused_before_all_are_answered() -> None:
    answered: list[str] = []
    for name in ("label", "label_mass"):
        with pytest.raises(DataError, match=f"has a column '{name}'"):
            classify_frame(frame(**{name: "old"}), "question", FakeClassifier(on_score=answered.extend))
    assert answered == [TEXTS[0]] * 2, "the one that shows the columns"


def test_what_is_refused() -> None:
    with pytest.raises(DataError, match="has a column 'label'; give a prefix"):
        classify_frame(frame(label="old"), "question", FakeClassifier())
    with pytest.raises(DataError, match=r"needs one column 'text'; it has 2 columns \(question, id\)"):
        classify_frame(frame(), "text", FakeClassifier())
    with pytest.raises(DataError, match="needs one column 'id'"):
        classify_frame(pandas.concat([frame(), frame()], axis=1), "id", FakeClassifier())
    with pytest.raises(DataError, match="Cannot classify list; give a pandas DataFrame"):
        classify_frame(TEXTS, "question", FakeClassifier())
