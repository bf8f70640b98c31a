from __future__ import annotations

import pytest

from subjectwise.records import Question
from subjectwise.serving.error_responses import EmptyText, Refusal, TooLarge
from subjectwise.serving.request_questions import QuestionText, read_questions


def test_texts_and_options_become_questions() -> None:
    read = read_questions([QuestionText(" a "), QuestionText("b", ["c", "d"])], most=2)
    assert read == [Question("a"), Question("b", ("c", "d"))]


def test_control_characters_become_spaces() -> None:
    form_feed = "What is\x0cosmosis\x1b?\x7f\x08"
    [question] = read_questions([QuestionText(form_feed, ["a\x00b"])], most=1)
    assert question == Question("What is osmosis ?", ("a b",))
    [lines] = read_questions([QuestionText("one\ttab\nand\r\nlines")], most=1)
    assert lines.text == "one\ttab\nand\r\nlines"
    with pytest.raises(Refusal, match="question is empty"):
        read_questions([QuestionText("\x0c \x7f")], most=1)


def test_what_cannot_be_read_is_named() -> None:
    with pytest.raises(EmptyText, match="There is no question"):
        read_questions([], most=2)
    with pytest.raises(TooLarge, match="There are 3 questions; the limit is 2"):
        read_questions([QuestionText("a")] * 3, most=2)
    with pytest.raises(TooLarge, match=r"^Question 2: It has 50,001 characters"):
        read_questions([QuestionText("a"), QuestionText("a", ["b" * 50_000])], most=2)
    with pytest.raises(EmptyText, match=r"^Question 2: The question is empty"):
        read_questions([QuestionText("a"), QuestionText(" ")], most=2)
    with pytest.raises(Refusal, match=r"^The question is empty"):
        read_questions([QuestionText(" ")], most=2)
