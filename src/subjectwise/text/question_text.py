"""A question as one text, and how a long row of tokens is cut. Knows no prompt and no tokenizer."""

from __future__ import annotations

from subjectwise.records import Question
from subjectwise.text.spelling import SpellingCorrector


def question_text(question: Question, corrector: SpellingCorrector | None = None) -> str:
    """Return the question, and its options one per line after a dash.

    Four words or more in capitals throughout become lower case: base models know few words in capitals. With a
    `corrector` the question's spelling is corrected; options, which are often names and formulas, stay as they are.
    """
    text = _without_capitals(question.text)
    options = (_without_capitals(f"- {option}") for option in question.options)
    return "\n".join([corrector.correct(text) if corrector else text, *options])


def cut_middle(row: list[int], limit: int) -> list[int]:
    """Return the row without its middle where it has more than `limit` tokens."""
    kept = limit // 2
    return row if len(row) <= limit else row[:kept] + row[len(row) - (limit - kept) :]


def _without_capitals(text: str) -> str:
    return text.lower() if text.isupper() and len(text.split()) > 3 else text
