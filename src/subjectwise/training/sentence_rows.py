"""Reasons to learn to write from: read, explained by the model that they are for, and encoded. Knows no Trainer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch.utils.data import Dataset

from subjectwise.data.column_names import find_column
from subjectwise.data.read_table import iterate_rows
from subjectwise.data.split import SplitFolder
from subjectwise.errors import DataError
from subjectwise.explain.evidence import evidence_steps
from subjectwise.explain.sentence_prompt import sentence_start, telling_words, trained_prompt
from subjectwise.models.label_scores import Scorer
from subjectwise.records import Explanation, Question
from subjectwise.statistics.calibration import apply_temperature
from subjectwise.training.training_rows import RowView, TokenTargets
from subjectwise.types import FloatArray, IntArray, Progress, Tokenizer

# Questions that are explained together.
_BATCH = 64


@dataclass(frozen=True)
class Reason:
    """Why a question has its label.

    Attributes:
        question: without options.
        label: its label.
        text: what follows "This is LABEL because", one sentence.
    """

    question: Question
    label: str
    text: str


def read_reasons(path: Path) -> list[Reason]:
    """Read a file with a question, its label and a `reason` in each row.

    Raises:
        DataError: the file cannot be read, or lacks a column.
    """
    reasons: list[Reason] = []
    for row in iterate_rows(path):
        names = {role: find_column(list(row), role, "", str(path)) for role in ("question", "label")}
        if not isinstance(row.get("reason"), str) or not row["reason"].strip():
            raise DataError(f"{path}, row {len(reasons) + 1} has no reason; give each row a column 'reason'.")
        text = row["reason"].strip()
        text = text if text.endswith(".") else f"{text}."
        reasons.append(Reason(Question(str(row[names["question"]])), str(row[names["label"]]), text))
    if not reasons:
        raise DataError(f"{path} has no rows.")
    return reasons


def reasons_of_split(reasons: Sequence[Reason], data: SplitFolder, split: str) -> list[Reason]:
    """Return the reasons whose questions are in one split of the data, by the question's text."""
    texts = {row.question.text for row in data.examples(split)}
    return [reason for reason in reasons if reason.question.text in texts]


def explain_all(
    scorer: Scorer, temperature: float, questions: Sequence[Question], on_progress: Progress | None = None
) -> list[Explanation]:
    """Return the evidence of many questions, many of them in one batch of the model.

    Args:
        scorer: of the model.
        temperature: of the model.
        questions: without options.
        on_progress: called after each batch with the number of its questions.
    """
    labels = list(scorer.labels)
    explained: list[Explanation] = []
    for start in range(0, len(questions), _BATCH):
        batch = questions[start : start + _BATCH]
        running = {number: evidence_steps(question, labels) for number, question in enumerate(batch)}
        asked = {number: next(steps) for number, steps in running.items()}
        done: dict[int, Explanation] = {}
        while asked:
            rows = [question for asking in asked.values() for question in asking]
            answers = iter(_probabilities(scorer, temperature, rows))
            following: dict[int, list[Question]] = {}
            for number, asking in asked.items():
                try:
                    following[number] = running[number].send(np.stack([next(answers) for _ in asking]))
                except StopIteration as stop:
                    done[number] = stop.value
            asked = following
        explained += [done[number] for number in range(len(batch))]
        if on_progress:
            on_progress(len(batch))
    return explained


def _probabilities(scorer: Scorer, temperature: float, questions: Sequence[Question]) -> Iterator[FloatArray]:
    yield from apply_temperature(scorer.score(scorer.encode(questions)).log_probs, temperature)


class SentenceRows(Dataset[TokenTargets]):
    """Reasons as the loss reads them: the prompt, and every token of the reason and its end to predict.

    Args:
        reasons: to write.
        words: the evidence that each prompt names.
        tokenizer: of the base.

    Attributes:
        lengths: tokens of each row, [1, rows].
    """

    def __init__(self, reasons: Sequence[Reason], words: Sequence[Sequence[str]], tokenizer: Tokenizer) -> None:
        self._rows = [_encoded(reason, evidence, tokenizer) for reason, evidence in zip(reasons, words, strict=True)]
        self.lengths: IntArray = np.array([[len(row.ids) for row in self._rows]])

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, key: RowView) -> TokenTargets:
        return self._rows[key.row]


def _encoded(reason: Reason, words: Sequence[str], tokenizer: Tokenizer) -> TokenTargets:
    explanation = Explanation(reason.question.text, reason.label, 1.0, "", 0.0, ())
    prompt = trained_prompt(explanation, words) + sentence_start(reason.label)
    start: list[int] = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    target: list[int] = tokenizer(f" {reason.text}", add_special_tokens=False)["input_ids"]
    target = [*target, *([] if tokenizer.eos_token_id is None else [int(tokenizer.eos_token_id)])]
    choices = [[token] for token in target]
    return TokenTargets([*start, *target[:-1]], target, choices, [{token: 1.0} for token in target])


def words_of(explanations: Sequence[Explanation]) -> list[list[str]]:
    """Return the words that the prompt of each explanation names."""
    return [telling_words(explanation) for explanation in explanations]
