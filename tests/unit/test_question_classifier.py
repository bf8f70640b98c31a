"""What follows from scores: decisions, prior correction, predictions, and questions in whatever they come."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from subjectwise.errors import DataError, QuestionError
from subjectwise.labels import LabelSet
from subjectwise.question_classifier import ScoreBasedClassifier
from subjectwise.records import Decision, EncodedQuestion, Explanation, Question, Scored, as_question
from subjectwise.types import Progress


class LetterClassifier(ScoreBasedClassifier):
    """Tells a from b by their counts in the text."""

    classes_ = np.array(["a", "b"])
    labels = LabelSet(("a", "b"))
    prior = (0.5, 0.5)

    def encode(self, questions: Sequence[Question]) -> list[EncodedQuestion]:
        return [EncodedQuestion([], 1) for _ in questions]

    def score(
        self,
        questions: Sequence[Question | str],
        *,
        encoded: Sequence[EncodedQuestion] | None = None,
        on_progress: Progress | None = None,
    ) -> Scored:
        texts = [as_question(question).text for question in questions]
        counts = np.array([[1.0 + text.count("a"), 1.0 + text.count("b")] for text in texts]).reshape(-1, 2)
        if on_progress:
            on_progress(len(texts))
        return Scored(counts / counts.sum(axis=1, keepdims=True), np.full(len(texts), 0.5))

    def load_sentence_writer(self) -> None:
        raise AssertionError("nothing is to be loaded")

    def write_sentence(self, explanation: Explanation) -> str:
        return f"This is {explanation.label}."


CLASSIFIER = LetterClassifier()


def test_one_question_and_many() -> None:
    one, many = CLASSIFIER.classify("aab"), CLASSIFIER.classify(["aab", Question("bb")])
    assert one == many[0] and [item.label for item in many] == ["a", "b"]
    assert one.score == pytest.approx(0.6) and one.label_mass == 0.5
    assert CLASSIFIER.classify([]) == []
    progress = list[int]()
    CLASSIFIER.classify("aab", on_progress=progress.append)
    assert progress == [1]


def test_decisions() -> None:
    assert CLASSIFIER.classify("aab", decision=Decision(min_confidence=0.9)).label == "abstain"
    assert CLASSIFIER.classify(["ab"], decision=Decision(multi_label=True))[0].labels == ("a", "b")


def test_the_mix_of_labels_is_corrected_over_many_questions() -> None:
    questions = ["aa", "aaa", "aab", "b"]
    plain, corrected = (CLASSIFIER.classify(questions, prior_correction=how) for how in ("none", "batch"))
    assert [item.score for item in plain] != [item.score for item in corrected]


@pytest.mark.parametrize("questions", ["What is a tort?", ["What is a tort?"]])
def test_the_prior_of_a_single_question_is_refused(questions: str | list[str]) -> None:
    """Corrected alone, every label of it would be equally probable."""
    for how in ("match", "batch"):
        with pytest.raises(DataError, match="Cannot correct the prior of a single question"):
            CLASSIFIER.classify(questions, prior_correction=how)


@pytest.mark.parametrize("questions", ["What is a tort?", ["What is a tort?"], ["a", "b"], []])
def test_an_unknown_prior_correction_is_refused(questions: str | list[str]) -> None:
    with pytest.raises(DataError, match="Unknown prior correction 'nonsense'; choose one of none, batch, match"):
        CLASSIFIER.classify(questions, prior_correction="nonsense")


def test_a_question_that_cannot_be_read_has_its_number() -> None:
    with pytest.raises(QuestionError, match="Question 2: The question is empty"):
        CLASSIFIER.classify(["a", "", "b"])
    with pytest.raises(QuestionError, match="^The question is empty"):
        CLASSIFIER.classify("")


def test_a_frame_of_one_column_has_an_answer_per_row() -> None:
    import pandas

    frame = pandas.DataFrame({"q": ["aa", "bb", "aab"]})
    assert list(CLASSIFIER.predict(frame[["q"]])) == ["a", "b", "a"]
    assert CLASSIFIER.predict_proba(frame["q"]).shape == (3, 2)
    with pytest.raises(DataError, match="this table has 2"):
        CLASSIFIER.predict(frame.assign(label="a"))
    with pytest.raises(DataError, match="as a list, not as str"):
        CLASSIFIER.predict("aab")


def test_explanations_and_predictions() -> None:
    explanation = CLASSIFIER.explain("aa b", sentence=True)
    assert explanation.label == "a" and explanation.sentence == "This is a."
    assert CLASSIFIER.explain("aa b").sentence == ""
    assert list(CLASSIFIER.predict(["aa", "bb"])) == ["a", "b"]
    np.testing.assert_allclose(CLASSIFIER.predict_proba(["aab"]), [[0.6, 0.4]])
    with pytest.raises(QuestionError):
        CLASSIFIER.explain(" ")


def test_every_method_names_a_question_that_cannot_be_read() -> None:
    for method in ("classify", "predict", "predict_proba"):
        with pytest.raises(QuestionError, match="^Question 2: The question is empty"):
            getattr(CLASSIFIER, method)(["What is a tort?", "", "What is torque?"])
