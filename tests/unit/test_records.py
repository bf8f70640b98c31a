import pytest

from subjectwise.errors import QuestionError
from subjectwise.records import Prediction, Question


def test_text_is_stripped_and_composed() -> None:
    question = Question("  cafe\u0301? \n", ("  a ", "b"))
    assert question.text == "caf\u00e9?"
    assert question.options == ("a", "b")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "empty"),
        (" \n\t ", "empty"),
        ("x" * 100_000, "100,000 characters"),
        ("what\x00is", "control character '\\\\x00'"),
        ("bell\x07", "control character"),
        ("half \ud83d", "half of a character"),
    ],
)
def test_bad_questions_are_refused(text: str, part: str) -> None:
    with pytest.raises(QuestionError, match=part):
        Question(text)


def test_something_else_than_text_is_refused() -> None:
    with pytest.raises(QuestionError, match="must be text, not NoneType"):
        Question(None)  # type: ignore[arg-type]


def test_top_is_sorted() -> None:
    prediction = Prediction("q", "b", 0.6, {"a": 0.3, "b": 0.6, "c": 0.1})
    assert prediction.top(2) == [("b", 0.6), ("a", 0.3)]
