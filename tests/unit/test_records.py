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
        ("\x00\x07", "empty"),
    ],
)
def test_bad_questions_are_refused(text: str, part: str) -> None:
    with pytest.raises(QuestionError, match=part):
        Question(text)


def test_control_characters_become_spaces() -> None:
    """The form feed of `\\frac` in JSON, the escape codes of a terminal, the delete of a pasted PDF."""
    assert Question("Evaluate \x0crac{1}{2}\x08\n\tfor x", ("a\x1b[0m",)) == Question(
        "Evaluate  rac{1}{2} \n\tfor x", ("a [0m",)
    )
    assert Question("what\x00is\x7f").text == "what is"


def test_text_that_cannot_be_stored_is_replaced() -> None:
    assert Question("half \ud83d", ("\udcff",)) == Question("half \ufffd", ("\ufffd",))
    assert Question("whole \ud83d\ude00").text == "whole \U0001f600", "two halves in a row are a character"


def test_the_limit_on_characters_does_not_speak_of_the_command_line() -> None:
    """The reader may have used --input, or HTTP."""
    with pytest.raises(QuestionError) as caught:
        Question("x" * 100_000)
    assert str(caught.value) == "The question has 100,000 characters; the limit is 50,000."


def test_something_else_than_text_is_refused() -> None:
    with pytest.raises(QuestionError, match="must be text, not NoneType"):
        Question(None)  # type: ignore[arg-type]


def test_top_is_sorted() -> None:
    prediction = Prediction("q", "b", 0.6, {"a": 0.3, "b": 0.6, "c": 0.1})
    assert prediction.top(2) == [("b", 0.6), ("a", 0.3)]
