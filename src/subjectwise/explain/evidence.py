"""Evidence: which words changed the answer, by hiding them in turn. Knows a function of questions; knows no model.

The weight of a word is the log-odds of the answer with it minus those without it, after Robnik-Sikonja and Kononenko,
"Explaining classifications for individual instances" (2008).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from subjectwise.explain.stop_words import ENGLISH_STOP_WORDS
from subjectwise.records import EXPLANATION_ROUNDS, Evidence, Explanation, Question
from subjectwise.types import FloatArray

# From questions to probabilities, [questions, labels].
Answer = Callable[[Sequence[Question]], FloatArray]

_WORD = re.compile(r"\w(?:[\w'\u2019.-]*\w)?")


@dataclass(frozen=True)
class _Span:
    """Adjacent words of the question's text or of one of its options."""

    start: int
    end: int
    words: tuple[tuple[int, int], ...] = ()
    option: int | None = None


def find_evidence(
    question: Question, labels: Sequence[str], answer: Answer, rounds: int = EXPLANATION_ROUNDS
) -> Explanation:
    """Find the words of `question` that changed its answer.

    Every word is hidden in turn, all in one batch. A question of more words than `rounds` is read twice: first runs of
    words are hidden, then the words of those that spoke most for the answer. Words such as "the" and "which" are hidden
    with their neighbours and not on their own; each answer option is hidden as a whole.

    Args:
        question: with the options that the answer depends on.
        labels: the columns of what `answer` returns.
        answer: probabilities, [questions, labels].
        rounds: how many times words are hidden, at least 4.
    """
    steps = evidence_steps(question, labels, rounds)
    questions = next(steps)
    while True:
        probabilities = answer(questions)
        try:
            questions = steps.send(probabilities)
        except StopIteration as stop:
            explanation: Explanation = stop.value
            return explanation


def evidence_steps(
    question: Question, labels: Sequence[str], rounds: int = EXPLANATION_ROUNDS
) -> Generator[list[Question], FloatArray, Explanation]:
    """Find evidence as `find_evidence` does, for a caller that computes probabilities elsewhere.

    Yields questions, is sent their probabilities, [questions, labels], and returns the explanation.
    """
    rounds = max(rounds, 4)
    options = [_Span(0, len(text), option=number) for number, text in enumerate(question.options)]
    words = _content_words(question.text)
    # With less, nothing would be left for the words of a run.
    room = max(rounds - len(options), rounds // 2, 4)
    if len(words) <= room:
        spans = [_Span(start, end) for start, end in words]
        probabilities = yield [question, *(_without(question, span) for span in (*spans, *options))]
        return _explanation(question, labels, probabilities, [*spans, *options])

    # 1) Hide runs of words
    count = room - room // 2
    runs = [_run(list(part)) for part in np.array_split(np.array(words), count)]
    first = yield [question, *(_without(question, span) for span in (*runs, *options))]
    best = int(first[0].argmax())
    weights = log_odds(first[0, best]) - log_odds(first[1 : len(runs) + 1, best])

    # 2) Hide the words of the strongest runs one by one
    left = room - count
    kept, parts = list(runs), []
    for index in np.argsort(-weights, kind="stable").tolist():
        inside = runs[index].words
        if len(inside) < 2 or left < 2:
            continue
        # A run that is longer than what is left is divided into shorter runs.
        pieces = [_run(list(part)) for part in np.array_split(np.array(inside), min(len(inside), left))]
        left -= len(pieces)
        kept.remove(runs[index])
        parts += pieces
    second = yield [_without(question, span) for span in parts]
    rows = [index + 1 for index, run in enumerate(runs) if run in kept]
    probabilities = np.concatenate([first[:1], first[rows], first[len(runs) + 1 :], second])
    return _explanation(question, labels, probabilities, [*kept, *options, *parts])


def log_odds(probability: FloatArray) -> FloatArray:
    """Return log(p / (1 - p)), finite for probabilities of 0 and 1."""
    safe = np.clip(probability, 1e-9, 1 - 1e-9)
    return np.asarray(np.log(safe) - np.log1p(-safe))


def hide(text: str, spans: Sequence[tuple[int, int]]) -> str:
    """Return `text` without `spans`, each a start and an end; an ellipsis where nothing would be left."""
    for start, end in sorted(spans, reverse=True):
        before, after = text[:start], text[end:]
        if before[-1:] in ("", " ") and after[:1] == " ":
            after = after[1:]
        text = before + after
    return text if text.strip() else "..."


def _content_words(text: str) -> list[tuple[int, int]]:
    """Return the spans of the words of `text` without stop words; of all words where there are no others."""
    words = [match.span() for match in _WORD.finditer(text)]
    content = [(start, end) for start, end in words if text[start:end].lower() not in ENGLISH_STOP_WORDS]
    return content or words


def _run(words: list[Sequence[int]]) -> _Span:
    spans = tuple((int(start), int(end)) for start, end in words)
    return _Span(spans[0][0], spans[-1][1], words=spans)


def _without(question: Question, span: _Span) -> Question:
    if span.option is None:
        return replace(question, text=hide(question.text, [(span.start, span.end)]))
    options = question.options[: span.option] + question.options[span.option + 1 :]
    return replace(question, options=options)


def _explanation(
    question: Question, labels: Sequence[str], probabilities: FloatArray, spans: Sequence[_Span]
) -> Explanation:
    """Build the explanation from probabilities [1 + spans, labels]: of the whole question, then without each span."""
    whole = probabilities[0]
    best, second = np.argsort(-whole, kind="stable")[:2].tolist()
    weights = log_odds(whole) - log_odds(probabilities[1:])  # [spans, labels]
    evidence = []
    for span, row in zip(spans, weights, strict=True):
        text = question.text if span.option is None else question.options[span.option]
        words = text[span.start : span.end]
        evidence.append(Evidence(words, span.start, span.end, float(row[best]), float(row[second]), span.option))
    evidence.sort(key=lambda item: (-1 if item.option is None else item.option, item.start))
    return Explanation(
        question=question.text,
        label=str(labels[best]),
        score=float(whole[best]),
        runner_up=str(labels[second]),
        runner_up_score=float(whole[second]),
        evidence=tuple(evidence),
    )
