from __future__ import annotations

import pytest

from subjectwise.serving.batch_pace import BatchPace


def test_before_the_first_batch_it_guesses() -> None:
    pace = BatchPace()
    assert pace.cost(pace.seconds(100)) == pytest.approx(100)
    assert 0.1 < pace.seconds(1000) < 10


def test_large_batches_count_more_than_small_ones() -> None:
    pace = BatchPace()
    pace.add(seconds=0.066, cost=42)  # one question, of which most is spent once per batch
    pace.add(seconds=1.2, cost=1000)
    assert pace.seconds(1000) == pytest.approx(1.2, rel=0.05)
    assert pace.cost(0.6) == pytest.approx(500, rel=0.05)


def test_it_follows_a_machine_that_becomes_slower() -> None:
    pace = BatchPace()
    for _ in range(20):
        pace.add(seconds=0.2, cost=200)
    for _ in range(10):
        pace.add(seconds=0.8, cost=200)
    assert pace.seconds(1) == pytest.approx(0.004, rel=0.1)


def test_batches_that_took_no_time_set_no_limit() -> None:
    pace = BatchPace()
    pace.add(seconds=0.0, cost=100)
    assert pace.cost(0.2) > 1e6
