"""Encoding ahead of a GPU changes no answer and no order."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
import pytest

from subjectwise.labels import LabelSet
from subjectwise.models import encode_ahead
from subjectwise.models.encode_ahead import encode_and_score
from subjectwise.models.label_scores import LabelLogProbs
from subjectwise.records import EncodedQuestion, Question
from subjectwise.types import Progress


class Scorer:
    """Scores a question by its length."""

    labels = LabelSet(("short", "long"))

    def __init__(self, device: str, with_scope: bool) -> None:
        self.runs_on = (device, "float32")
        self.threads: list[str] = []
        self._with_scope = with_scope

    def encode(self, questions: Sequence[Question]) -> list[EncodedQuestion]:
        self.threads.append(threading.current_thread().name)
        return [EncodedQuestion([1] * len(question.text), len(question.text)) for question in questions]

    def score(self, encoded: Sequence[EncodedQuestion], on_progress: Progress | None = None) -> LabelLogProbs:
        lengths = np.array([float(len(question.ids)) for question in encoded])
        if on_progress:
            on_progress(len(encoded))
        return LabelLogProbs(np.stack([-lengths, lengths], 1), lengths / 100, lengths if self._with_scope else None)


@pytest.mark.parametrize("with_scope", [True, False])
@pytest.mark.parametrize("count", [1, 4, 5, 8, 11])
def test_it_returns_what_encoding_and_scoring_return(
    count: int, with_scope: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encode_ahead, "AHEAD", 4)
    questions, progress = [Question("?" * (index + 1)) for index in range(count)], list[int]()
    on_cpu, on_gpu = Scorer("cpu", with_scope), Scorer("cuda", with_scope)
    expected_rows, expected = encode_and_score(on_cpu, questions)
    rows, given = encode_and_score(on_gpu, questions, progress.append)
    assert rows == expected_rows and sum(progress) == count
    np.testing.assert_array_equal(given.log_probs, expected.log_probs)
    np.testing.assert_array_equal(given.label_mass, expected.label_mass)
    assert (given.in_scope is None) == (not with_scope)
    assert len(on_cpu.threads) == 1 and on_cpu.threads[0] == threading.current_thread().name
    assert ("encode" in on_gpu.threads[0]) == (count > 4)


def test_an_error_in_encoding_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encode_ahead, "AHEAD", 2)
    scorer = Scorer("cuda", with_scope=False)

    def fails(questions: Sequence[Question]) -> list[EncodedQuestion]:
        raise ValueError("no such token")

    monkeypatch.setattr(scorer, "encode", fails)
    with pytest.raises(ValueError, match="no such token"):
        encode_and_score(scorer, [Question("?")] * 5)
