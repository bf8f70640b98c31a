"""Rows of tokens laid out in packs of a few fixed sizes. Knows lengths and token ids; knows no model and no device.

A pack is one row of tokens in which many sequences stand one after another (sequence packing). Its size is fixed, so
that a GPU runs each size as one CUDA graph; the only padding fills up a pack whose rows are too few.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

# The kernel of attention is launched for this length in every sequence of a pack, so it is not larger than it must be.
LONGEST_ROW = 512

# A pack has an index for one sequence per so many tokens. Empty ones cost a little each.
_TOKENS_PER_SEQUENCE = 32


@dataclass(frozen=True)
class PackSize:
    """The shape of a pack.

    Attributes:
        tokens: in the row.
        sequences: that it holds at most.
        longest: of them.
    """

    tokens: int
    sequences: int
    longest: int

    @classmethod
    def of(cls, tokens: int) -> PackSize:
        """Return the size of a pack of so many tokens."""
        return cls(tokens, max(1, tokens // _TOKENS_PER_SEQUENCE), min(tokens, LONGEST_ROW))

    @property
    def offsets(self) -> int:
        """How many sequences there are boundaries of, those that fill up the row included."""
        return self.sequences + -(-self.tokens // self.longest)

    @property
    def layout(self) -> tuple[int, ...]:
        """The lengths of the parts of `arrange`: tokens, positions, offsets, last."""
        return self.tokens, self.tokens, self.offsets + 1, self.sequences


# Four, since each is compiled and captured by itself: a single question, a few, and two for files.
SIZES = tuple(PackSize.of(tokens) for tokens in (256, 1024, 4096, 16384))


@dataclass(frozen=True)
class Pack:
    """Which sequences a pack holds.

    Attributes:
        size: of the pack.
        members: indices of the sequences, in the order in which they stand in it.
    """

    size: PackSize
    members: list[int]


def plan_packs(lengths: Sequence[int], sizes: Sequence[PackSize] = SIZES) -> Iterator[Pack]:
    """Yield packs that hold every sequence once, the longest first.

    The largest size is filled as long as there is enough. What is left goes into the smallest size that holds it where
    that is at least half full, else into the next smaller one, and so on.

    Args:
        lengths: of the sequences; none is longer than the largest size allows.
        sizes: in ascending order.

    Raises:
        ValueError: a sequence is too long.
    """
    left = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    total = sum(lengths)
    while left:
        longest = lengths[left[0]]
        fitting = [size for size in sizes if size.longest >= longest]
        if not fitting:
            raise ValueError(f"A sequence of {longest} tokens is longer than a pack allows.")
        size = _suitable(fitting, total, len(left))
        # The longest first, then whatever still fits.
        members: list[int] = []
        rest: list[int] = []
        room = size.tokens
        for index in left:
            if lengths[index] <= room and len(members) < size.sequences:
                members.append(index)
                room -= lengths[index]
            else:
                rest.append(index)
        total -= size.tokens - room
        left = rest
        yield Pack(size, members)


def _suitable(sizes: Sequence[PackSize], tokens: int, sequences: int) -> PackSize:
    """Return the size for the next pack, where so many tokens and sequences are left."""
    for smaller, size in zip([None, *sizes], sizes, strict=False):
        if tokens <= size.tokens and sequences <= size.sequences:
            full = 2 * tokens >= size.tokens or 2 * sequences >= size.sequences
            return size if full or smaller is None else smaller
    return sizes[-1]


def arrange(rows: Sequence[Sequence[int]], size: PackSize, start: int) -> npt.NDArray[np.int32]:
    """Return all that a pass over a pack reads, as one vector: one copy to the device is enough.

    Args:
        rows: token ids of the sequences of the pack.
        size: of the pack.
        start: the position of each sequence's first token, behind a shared prefix.

    Returns:
        Four parts, whose lengths are those of `PackSize.layout`: the token ids, their positions, the offset at which
        each sequence begins and the end of the last one, and the index of each sequence's last token (0 where there is
        none). The sequences are followed by others of zeros that fill up the row, and by empty ones.
    """
    lengths = np.array([len(row) for row in rows])
    used = int(lengths.sum())
    ends = lengths.cumsum()
    fill = np.arange(used + size.longest, size.tokens + size.longest, size.longest)
    offsets = np.full(size.offsets + 1, size.tokens)
    offsets[0] = 0
    offsets[1 : 1 + len(rows)] = ends
    offsets[1 + len(rows) : 1 + len(rows) + len(fill)] = fill.clip(max=size.tokens)
    tokens, positions = np.zeros((2, size.tokens), dtype=np.int32)
    tokens[:used] = np.concatenate([np.asarray(row, dtype=np.int32) for row in rows])
    positions[:used] = start + np.arange(used) - np.repeat(ends - lengths, lengths)
    last = np.zeros(size.sequences)
    last[: len(rows)] = ends - 1
    return np.concatenate([tokens, positions, offsets, last]).astype(np.int32)
