"""A question as one text: options, capitals, spelling; and how a long row of tokens is cut."""

from __future__ import annotations

from typing import Any

import pytest

from subjectwise.labels import LabelSet
from subjectwise.models.classification_head import HeadEncoder
from subjectwise.recipe import PromptSettings
from subjectwise.records import EncodedQuestion, Question
from subjectwise.text.prompt import Prompt
from subjectwise.text.question_text import cut_row, question_text
from subjectwise.text.spelling import SpellingCorrector

SHORT, LONG = Question("What is torque?"), Question("torque and lens " * 60)


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
    assert cut_row(list(range(6)), limit).ids == expected


def test_a_row_that_is_cut_says_so() -> None:
    assert cut_row([1, 2, 3, 4], 4) == EncodedQuestion([1, 2, 3, 4], 4)
    assert cut_row([1, 2, 3, 4, 5], 4) == EncodedQuestion([1, 2, 4, 5], 4, truncated=True)
    assert cut_row([1, 2, 3, 4], 4, [8], [9]) == EncodedQuestion([8, 1, 4, 9], 4, truncated=True)
    assert cut_row([1, 2], 4, [8], [9]) == EncodedQuestion([8, 1, 2, 9], 4)


@pytest.mark.parametrize("style", ["bare", "plain", "chat"])
def test_a_prompt_says_which_questions_it_cuts(tokenizer: Any, style: str) -> None:
    prompt = Prompt(tokenizer, LabelSet(("law", "physics")), PromptSettings(style=style, max_tokens=48))
    encoded = prompt.encode_questions([SHORT, LONG])
    assert [row.truncated for row in encoded] == [False, True]
    assert [row.ids for row in encoded] == prompt.encode([SHORT, LONG])
    assert [row.tokens for row in encoded] == [len(row.ids) for row in encoded] and encoded[1].tokens == 48


def test_a_head_says_which_questions_it_cuts(tokenizer: Any) -> None:
    encoder = HeadEncoder(tokenizer, PromptSettings(max_tokens=48))
    encoded = encoder.encode_questions([SHORT, LONG])
    assert [row.truncated for row in encoded] == [False, True]
    assert [row.ids for row in encoded] == encoder.encode([SHORT, LONG]) and encoded[1].tokens == 48
