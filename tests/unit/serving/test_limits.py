from __future__ import annotations

from subjectwise.serving.limits import Limits


def test_a_single_question_waits_for_two_batches_of_half_a_second_together() -> None:
    assert 2 * Limits().batch_seconds <= 0.5
