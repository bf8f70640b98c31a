"""Batches have every row once, keep the budget, and pad little."""

from __future__ import annotations

from subjectwise.engines.token_budget import PADDING, token_batches


def test_batches_have_every_row_once_and_keep_the_budget() -> None:
    lengths = [5, 90, 3, 40, 41, 7, 300, 2]
    batches = list(token_batches(lengths, budget=100, extra=2))
    assert sorted(i for batch in batches for i in batch) == list(range(8))
    assert batches[0] == [6], "a row over the budget is alone in its batch, and the longest come first"
    for batch in batches[1:]:
        assert len(batch) * (max(lengths[i] for i in batch) + 2) <= 100
    assert list(token_batches([], 100)) == []


def test_short_rows_are_not_padded_to_long_ones() -> None:
    lengths = [384, *[20] * 60, 400, *[100, 90] * 5]
    batches = list(token_batches(lengths, budget=4096))
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    padding = [sum(max(lengths[i] for i in batch) - lengths[j] for j in batch) for batch in batches]
    assert max(padding) <= PADDING and len(batches) == 3


def test_the_limit_of_padding_may_depend_on_the_longest_row() -> None:
    lengths = [100, 60, 60, 10, 10]
    assert len(list(token_batches(lengths, budget=4096, padding_limit=lambda longest: 1000))) == 1
    assert list(token_batches(lengths, budget=4096, padding_limit=lambda longest: 0)) == [[0], [1, 2], [3, 4]]
