"""A question as one text: options, capitals, spelling; and how a long row of tokens is cut."""

from __future__ import annotations

import pytest

from subjectwise.records import Question
from subjectwise.text.question_text import cut_middle, question_text
from subjectwise.text.spelling import SpellingCorrector


def test_options_are_shown_one_per_line() -> None:
    assert question_text(Question("Which?", ("red", "blue"))) == "Which?\n- red\n- blue"
    assert question_text(Question("Which?", ("red", "blue")).without_options()) == "Which?"


def test_four_words_of_capitals_become_lower_case() -> None:
    assert question_text(Question("WHAT IS A TORT?")) == "what is a tort?"
    shouted = Question("WHICH ONE IS IT?", ("a", "ONE OF TWO TORTS"))
    assert question_text(shouted) == "which one is it?\n- a\n- one of two torts"


@pytest.mark.parametrize("text", ["DNA", "NASA OR ESA?", "What is DNA made of?", "光速是 什么 呢 吗"])
def test_other_capitals_stay(text: str) -> None:
    assert question_text(Question(text)) == text


def test_spelling_is_corrected_in_the_question_and_not_in_its_options() -> None:
    question = Question("What is the enrgy of it?", ("enrgy",))
    assert question_text(question, SpellingCorrector("en", {})) == "What is the energy of it?\n- enrgy"


@pytest.mark.parametrize(
    ("limit", "expected"), [(10, [0, 1, 2, 3, 4, 5]), (6, [0, 1, 2, 3, 4, 5]), (5, [0, 1, 3, 4, 5]), (2, [0, 5])]
)
def test_a_long_row_loses_its_middle(limit: int, expected: list[int]) -> None:
    assert cut_middle(list(range(6)), limit) == expected
