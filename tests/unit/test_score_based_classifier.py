import pytest

from helpers.fake_classifier import FakeClassifier
from subjectwise.errors import DataError, QuestionError


def test_one_question_is_answered_as_it_is_in_a_list() -> None:
    classifier = FakeClassifier()
    [alone] = classifier.classify(["What is a tort?"])
    assert classifier.classify("What is a tort?") == alone


def test_progress_is_reported_for_one_question_too() -> None:
    class Reporting(FakeClassifier):
        def score(self, questions, *, encoded=None, on_progress=None):  # type: ignore[no-untyped-def]
            if on_progress:
                on_progress(len(questions))
            return super().score(questions)

    reported: list[int] = []
    Reporting().classify("What is a tort?", on_progress=reported.append)
    assert reported == [1]


@pytest.mark.parametrize("questions", ["What is a tort?", ["What is a tort?"]])
def test_the_prior_of_a_single_question_is_refused(questions: str | list[str]) -> None:
    """Corrected alone, every label of it would be equally probable."""
    for how in ("match", "batch"):
        with pytest.raises(DataError, match="Cannot correct the prior of a single question"):
            FakeClassifier().classify(questions, prior_correction=how)


@pytest.mark.parametrize("questions", ["What is a tort?", ["What is a tort?"], ["a", "b"], []])
def test_an_unknown_prior_correction_is_refused(questions: str | list[str]) -> None:
    with pytest.raises(DataError, match="Unknown prior correction 'nonsense'; choose one of none, batch, match"):
        FakeClassifier().classify(questions, prior_correction="nonsense")


def test_an_empty_question_is_named_by_its_number() -> None:
    for method in ("classify", "predict", "predict_proba"):
        with pytest.raises(QuestionError, match="^Question 2: The question is empty"):
            getattr(FakeClassifier(), method)(["What is a tort?", "", "What is torque?"])
