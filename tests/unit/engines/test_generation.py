"""A continuation is greedy, stops where it is asked to, and repeats and writes nothing that is excluded."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import pytest

from subjectwise.engines.generation import NextToken, continue_greedily, excluded_tokens


class Counting:
    """Continues with the smallest number that is not excluded."""

    def __init__(self) -> None:
        self.pieces: list[list[int]] = []

    def next_token(self) -> NextToken:
        def following(ids: Sequence[int], excluded: Collection[int]) -> int:
            self.pieces.append(list(ids))
            return next(token for token in range(1000) if token not in excluded)

        return following


@pytest.mark.parametrize(
    ("text", "banned", "no_repeat", "expected"),
    [
        ([1, 2, 3], [[5]], 0, {5}),
        ([1, 2, 3], [[3, 7], [2, 8], [2, 3, 9], [1, 2, 3, 4, 6]], 0, {7, 9}),
        ([3], [[2, 3, 9]], 0, set()),
        ([1, 2, 3, 1, 2], [], 3, {3}),
        ([1, 2, 3, 1, 2], [], 2, {3}),
        ([1, 2, 3, 1, 2], [], 1, {1, 2, 3}),
        ([1, 2], [], 4, set()),
    ],
)
def test_what_may_not_come_next(text: list[int], banned: list[list[int]], no_repeat: int, expected: set[int]) -> None:
    assert excluded_tokens(text, banned, no_repeat) == expected


def test_a_text_is_read_once_and_then_token_by_token() -> None:
    generator = Counting()
    assert continue_greedily(generator, [4, 5], 3, lambda _: False, no_repeat=1) == [0, 1, 2]
    assert generator.pieces == [[4, 5], [0], [1]]


def test_it_stops_after_the_token_that_ends_it() -> None:
    assert continue_greedily(Counting(), [4], 9, lambda written: written[-1] == 2, no_repeat=1) == [0, 1, 2]
    assert continue_greedily(Counting(), [4], 0, lambda _: False) == []
