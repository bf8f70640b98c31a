"""Batches of rows by a budget of tokens and by similar length. Knows lengths alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

# Tokens of padding in a batch that cost about as much as another batch.
PADDING = 128


def token_batches(
    lengths: Sequence[int], budget: int, extra: int = 0, padding_limit: Callable[[int], int] = lambda longest: PADDING
) -> Iterator[list[int]]:
    """Yield the indices of `lengths` in batches of at most `budget` tokens, one row at least.

    The longest come first, so that a batch that does not fit into memory fails right away rather than near the end.
    A batch ends early where padding its rows would take more tokens than `padding_limit` returns for the longest.

    Args:
        lengths: tokens of each row.
        budget: tokens of a batch, padding included.
        extra: tokens that are read after each row.
        padding_limit: from the tokens of a batch's longest row, `extra` included, to the padding that it may have.
    """
    batch: list[int] = []
    longest = padding = 0
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        length = lengths[index] + extra
        padding += max(longest - length, 0)
        if batch and ((len(batch) + 1) * longest > budget or padding > padding_limit(longest)):
            yield batch
            batch = []
        if not batch:
            longest, padding = length, 0
        batch.append(index)
    if batch:
        yield batch
