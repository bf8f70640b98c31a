"""The questions of a request: read, checked and refused in one sentence. Knows nothing of HTTP.

What a router cannot correct in its users' texts is corrected by `Question`: control characters become spaces.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from subjectwise.errors import QuestionError
from subjectwise.records import MAX_CHARACTERS, Question
from subjectwise.serving.error_responses import EmptyText, TooLarge, Untokenizable
from subjectwise.utils.clean_text import clean_text


@dataclass(frozen=True)
class QuestionText:
    """A question as a client sends it."""

    text: str
    options: Sequence[str] = ()


def check_number(texts: Sequence[object], most: int) -> None:
    """Raise Refusal where there are no texts, or more than `most`."""
    if not texts:
        raise EmptyText("There is no question; give at least one.")
    if len(texts) > most:
        raise TooLarge(f"There are {len(texts)} questions; the limit is {most}.")


def read_questions(texts: Sequence[QuestionText], most: int) -> list[Question]:
    """Return texts and their options as questions.

    Args:
        texts: as the client sent them.
        most: how many there may be.

    Raises:
        Refusal: one of them cannot be read, or there are none or too many.
    """
    check_number(texts, most)
    questions = []
    for number, given in enumerate(texts, start=1):
        which = f"Question {number}: " if len(texts) > 1 else ""
        size = len(given.text) + sum(map(len, given.options))
        if size > MAX_CHARACTERS:
            raise TooLarge(f"{which}It has {size:,} characters; the limit is {MAX_CHARACTERS:,}.")
        try:
            questions.append(Question(given.text, tuple(given.options)))
        except QuestionError as error:
            kind = Untokenizable if clean_text(given.text) else EmptyText
            raise kind(which + str(error)) from error
    return questions
