import pytest

from subjectwise.errors import QuestionError
from subjectwise.records import Evidence, Explanation, Prediction, Question


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


def test_a_prediction_in_a_notebook() -> None:
    scores = {f"label {number}": 0.02 for number in range(10)} | {"<law>": 0.8}
    html = Prediction("May I sue & win?", "<law>", 0.8, scores, truncated=True, in_scope=0.93)._repr_html_()
    assert "May I sue &amp; win?" in html and "80.0 %" in html
    assert "Answer: &lt;law&gt;" in html and "labels: 93.0%" in html and "cut out" in html
    assert html.count("<tr") == 5, "the five most probable"
    assert "Answer: abstain" in Prediction("q", "abstain", 0.8, scores, best_label="<law>")._repr_html_()
    assert "Answer: a, b" in Prediction("q", "a", 0.5, {"a": 0.5, "b": 0.5}, labels=("a", "b"))._repr_html_()


def test_an_explanation_in_a_notebook() -> None:
    evidence = (Evidence("torque", 8, 14, 2.5, -1.0), Evidence("a <force>", 0, 9, 0.5, 0.0, option=0))
    html = Explanation("What is torque?", "physics", 0.9, "law", 0.05, evidence, "This is physics.")._repr_html_()
    assert "physics 90.0%, then law 5.0%" in html and ">torque</mark>?" in html
    assert "Option a &lt;force&gt;: +0.50" in html and "This is physics." in html
    assert html.count("<mark") == 1
