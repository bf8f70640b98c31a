"""Packs hold every sequence once, are full where they can be, and say where each sequence is."""

from __future__ import annotations

import numpy as np
import pytest

from subjectwise.engines.pytorch.packs import SIZES, PackSize, arrange, plan_packs

SMALL = (PackSize(16, 4, 8), PackSize(64, 8, 32))


@pytest.mark.parametrize("seed", range(5))
def test_every_sequence_is_in_one_pack_that_holds_it(seed: int) -> None:
    generator = np.random.default_rng(seed)
    lengths = generator.integers(1, 33, size=int(generator.integers(1, 60))).tolist()
    packs = list(plan_packs(lengths, SMALL))
    assert sorted(index for pack in packs for index in pack.members) == list(range(len(lengths)))
    for pack in packs:
        assert len(pack.members) <= pack.size.sequences
        assert max(lengths[index] for index in pack.members) <= pack.size.longest
        assert sum(lengths[index] for index in pack.members) <= pack.size.tokens


def test_large_batches_fill_their_packs() -> None:
    lengths = np.random.default_rng(0).integers(33, 120, size=3000).tolist()
    packs = list(plan_packs(lengths))
    used, room = sum(lengths), sum(pack.size.tokens for pack in packs)
    assert used / room > 0.98
    assert {pack.size.tokens for pack in packs[:-3]} == {SIZES[-1].tokens}


def test_a_single_question_takes_the_smallest_pack() -> None:
    (pack,) = plan_packs([60])
    assert pack.size == SIZES[0]


def test_a_sequence_that_is_too_long_is_refused() -> None:
    with pytest.raises(ValueError, match="600 tokens"):
        list(plan_packs([5, 600]))


def test_a_vector_says_where_each_sequence_is() -> None:
    size = PackSize(16, 4, 8)
    vector = arrange([[5, 6, 7], [8, 9]], size, start=100)
    tokens, positions, offsets, last = np.split(vector, np.cumsum(size.layout)[:-1])
    assert vector.dtype == np.int32
    assert tokens.tolist() == [5, 6, 7, 8, 9, *[0] * 11]
    assert positions[:5].tolist() == [100, 101, 102, 100, 101]
    # Two sequences, two that fill the row and are no longer than allowed, and empty ones.
    assert offsets.tolist() == [0, 3, 5, 13, 16, 16, 16]
    assert last.tolist() == [2, 4, 0, 0]


def test_a_full_pack_has_nothing_to_fill() -> None:
    size = PackSize(8, 4, 8)
    offsets = np.split(arrange([[1] * 5, [2] * 3], size, 0), np.cumsum(size.layout)[:-1])[2]
    assert offsets.tolist() == [0, 5, 8, 8, 8, 8]
