"""Kinds of rows measured apart: fair labels, the lowest label, promises kept, and requests of no label."""

from __future__ import annotations

import numpy as np
import pytest

from subjectwise.evaluation.kinds import per_kind, scope_metrics
from subjectwise.records import Example, Question

LABELS = ["law", "math", "physics"]


def row(number: int, label: str, kind: str, *also: str) -> Example:
    return Example(str(number), Question("What?"), label, kind=kind, also=also)


ROWS = [row(1, "law", "exam"), row(2, "math", "exam", "physics"), row(3, "math", "exam"), row(4, "physics", "chat")]
PROBABILITIES = np.array([[0.9, 0.05, 0.05], [0.1, 0.3, 0.6], [0.8, 0.1, 0.1], [0.2, 0.3, 0.5]])
TRUTH = np.array([0, 1, 1, 2])


def test_each_kind_has_its_own_metrics() -> None:
    kinds = per_kind(PROBABILITIES, TRUTH, LABELS, ROWS, {"0.95": 0.85})
    assert list(kinds) == ["exam", "chat"]
    exam, chat = kinds["exam"], kinds["chat"]
    assert exam.rows == 3
    assert [exam.accuracy.value, exam.fair_accuracy.value] == pytest.approx([1 / 3, 2 / 3])
    assert (exam.lowest_label, exam.lowest_fair_accuracy.value) == ("math", 0.5)
    assert exam.accuracy.low < 1 / 3 < exam.accuracy.high
    answered = exam.thresholds["0.95"]
    assert answered.rows == 1
    assert [answered.coverage, answered.threshold] == pytest.approx([1 / 3, 0.85])
    assert answered.accuracy is not None and answered.accuracy.value == 1
    assert chat.rows == 1 and chat.thresholds["0.95"].accuracy is None, "no row is that confident"
    assert exam.ece > exam.fair_ece > 0


def test_requests_of_no_label_are_told_from_questions() -> None:
    rows = [*ROWS, row(5, "none", "hello"), row(6, "none", "hello")]
    belongs = np.array([True] * 4 + [False] * 2)
    in_scope = np.array([0.9, 0.8, 0.95, 0.3, 0.2, 0.6])
    scope = scope_metrics(in_scope, belongs, rows, 0.5)
    assert scope is not None
    assert scope.auroc == pytest.approx(7 / 8), "one question is below one request"
    assert (scope.flagged.value, scope.questions_flagged.value, scope.threshold) == (0.5, 0.25, 0.5)
    assert {kind: share.value for kind, share in scope.kinds.items()} == {"exam": 0.0, "chat": 1.0, "hello": 0.5}


def test_there_is_nothing_to_tell() -> None:
    every = np.array([True] * 4)
    assert scope_metrics(np.ones(4), every, ROWS, 0.5) is None
    assert scope_metrics(np.ones(4), ~every, ROWS, 0.5) is None
    assert scope_metrics(None, np.array([True, True, True, False]), ROWS, 0.5) is None
