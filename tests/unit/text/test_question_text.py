from typing import Any

import pytest

from subjectwise.labels import LabelSet
from subjectwise.models.classification_head import HeadEncoder
from subjectwise.recipe import PromptSettings
from subjectwise.records import EncodedQuestion, Question
from subjectwise.text.prompt import Prompt
from subjectwise.text.question_text import cut_row

SHORT, LONG = Question("What is torque?"), Question("torque and lens " * 60)


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
