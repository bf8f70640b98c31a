"""Every process has as many batches as every other, together they show every row, and an epoch has one order."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from subjectwise.training.batch_order import LengthBatches

EPOCHS = range(20)


def lengths_of(rows: int, views: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(5, 90, size=(views, rows))


def sharded(rows: int, batch_size: int, processes: int, epoch: int) -> list[list[list[int]]]:
    """The rows of each batch of each process."""
    shards = []
    for rank in range(processes):
        batches = LengthBatches(lengths_of(rows), batch_size, 0.5, seed=7, rank=rank, processes=processes)
        batches.set_epoch(epoch)
        shards.append([[view.row for view in batch] for batch in batches])
        assert len(shards[-1]) == len(batches)
    return shards


@pytest.mark.parametrize("processes", [1, 2, 4, 8])
@pytest.mark.parametrize(("rows", "batch_size"), [(1192, 16), (96, 8), (97, 8), (5, 16), (33, 4)])
def test_no_row_is_lost_and_every_process_has_as_many_batches(rows: int, batch_size: int, processes: int) -> None:
    for epoch in EPOCHS:
        shards = sharded(rows, batch_size, processes, epoch)
        assert len({len(shard) for shard in shards}) == 1
        seen = Counter(row for shard in shards for batch in shard for row in batch)
        assert set(seen) == set(range(rows))
        repeated = sum(seen.values()) - rows
        assert repeated < processes * batch_size, "less than a step is shown again"
        assert processes > 1 or repeated == 0


def test_the_processes_take_turns_at_the_order_of_one() -> None:
    for epoch in EPOCHS:
        (whole,) = sharded(200, 16, 1, epoch)
        first, second = sharded(200, 16, 2, epoch)
        assert [batch for pair in zip(first, second, strict=True) for batch in pair][: len(whole)] == whole


def test_a_batch_with_fewer_rows_is_last() -> None:
    for epoch in EPOCHS:
        (batches,) = sharded(1192, 16, 1, epoch)
        assert [len(batch) for batch in batches] == [16] * 74 + [8]


def test_an_epoch_has_its_own_order_and_the_same_each_time() -> None:
    orders = [sharded(200, 16, 2, epoch) for epoch in (0, 1, 0)]
    assert orders[0] == orders[2] != orders[1]


def test_rows_of_a_batch_are_of_similar_length() -> None:
    lengths = lengths_of(1000, views=2)
    batches = LengthBatches(lengths, 8, 0.0, seed=1)
    spread = [np.ptp([lengths[view.view, view.row] for view in batch]) for batch in batches]
    assert np.mean(spread) < 0.1 * np.ptp(lengths)


def test_a_share_of_the_rows_is_shown_with_options_or_with_noise() -> None:
    lengths = np.stack([np.full(200, 9), np.full(200, 30), np.full(200, 20)])
    batches = LengthBatches(lengths, 8, 0.5, seed=1, noisy_share=0.5)
    first = [view for batch in batches for view in batch]
    assert 70 < sum(bool(view.noise) for view in first) < 130
    assert 70 < sum(view.view > 0 for view in first) < 130 and {view.view for view in first} == {0, 1, 2}
    batches.set_epoch(1)
    again = {view.row: view.noise for batch in batches for view in batch}
    assert any(again[view.row] and view.noise and again[view.row] != view.noise for view in first), "one per epoch"


def test_without_noise_and_options_every_row_is_shown_as_it_is() -> None:
    batches = LengthBatches(lengths_of(50), 8, 0.0, seed=1)
    assert {(view.view, view.noise) for batch in batches for view in batch} == {(0, ())}
