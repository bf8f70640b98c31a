"""A question as one text, and how a long row of tokens is cut. Knows no prompt and no tokenizer."""

from __future__ import annotations

from collections.abc import Sequence

from subjectwise.records import EncodedQuestion, Question
from subjectwise.text.spelling import SpellingCorrector


def question_text(question: Question, corrector: SpellingCorrector | None = None) -> str:
    """Return the question, and its options one per line after a dash.

    Four words or more in capitals throughout become lower case: base models know few words in capitals. With a
    `corrector` the question's spelling is corrected; options, which are often names and formulas, stay as they are.
    """
    text = _without_capitals(question.text)
    options = (_without_capitals(f"- {option}") for option in question.options)
    return "\n".join([corrector.correct(text) if corrector else text, *options])


def question_texts(questions: Sequence[Question]) -> list[str]:
    """Return `question_text` of each question, its spelling as it is."""
    return [question_text(question) for question in questions]


def cut_middle(row: list[int], limit: int) -> list[int]:
    """Return the row without its middle where it has more than `limit` tokens."""
    kept = limit // 2
    return row if len(row) <= limit else row[:kept] + row[len(row) - (limit - kept) :]


def cut_row(row: list[int], limit: int, start: Sequence[int] = (), end: Sequence[int] = ()) -> EncodedQuestion:
    """Return a question's row as a model reads it, and whether its middle was cut out.

    Args:
        row: token ids of the question.
        limit: how many tokens may be read.
        start: ids before the row, which are never cut.
        end: ids after it, which are never cut either.
    """
    room = limit - len(start) - len(end)
    ids = [*start, *cut_middle(row, room), *end]
    return EncodedQuestion(ids, len(ids), truncated=len(row) > room)


def _without_capitals(text: str) -> str:
    return text.lower() if text.isupper() and len(text.split()) > 3 else text
