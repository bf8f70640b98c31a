"""Which rows an epoch puts into which batch, and in which order. Knows lengths; knows no tokens and no model."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from subjectwise.training.training_rows import RowView
from subjectwise.types import IntArray


class LengthBatches:
    """Batches of rows of similar length, in an order that the seed and the epoch alone decide.

    Rows are shuffled, sorted by length within stretches of 32 batches, and the batches shuffled. Each epoch draws
    again which rows are shown with their options, in which of those views, and which are shown with noise.

    Args:
        lengths: tokens of each row in each view, [views, rows].
        batch_size: rows per batch.
        options_share: the share of the rows shown with their options.
        seed: of the order.
        noisy_share: the share of the rows shown with noise.
    """

    drop_last = False  # accelerate asks

    def __init__(
        self, lengths: IntArray, batch_size: int, options_share: float, seed: int, noisy_share: float = 0.0
    ) -> None:
        self.lengths, self.batch_size, self.seed, self.epoch = lengths, batch_size, seed, 0
        self.options_share, self.noisy_share = options_share, noisy_share

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch whose order is drawn next."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-int(self.lengths.shape[1]) // self.batch_size)

    def __iter__(self) -> Iterator[list[RowView]]:
        generator = np.random.default_rng([self.seed, self.epoch])
        views, rows = self.lengths.shape
        shown = generator.random(rows) < self.options_share
        view = np.where(shown, generator.integers(1, views, size=rows), 0)
        lengths = self.lengths[view, np.arange(rows)]
        order = generator.permutation(rows)
        # Drawn only where there is noise, so that a run without it has the batches that it always had.
        drawn = generator.random(rows) if self.noisy_share else np.ones(rows)
        noisy = np.asarray(drawn < self.noisy_share)
        batches: list[list[RowView]] = []
        # Only the last stretch may end in a short batch, so that every epoch has the same number of batches.
        for start in range(0, rows, 32 * self.batch_size):
            stretch = order[start : start + 32 * self.batch_size]
            stretch = stretch[np.argsort(-lengths[stretch], kind="stable")]
            batches += [
                [
                    RowView(int(row), int(view[row]), (self.seed, self.epoch, int(row)) if noisy[row] else ())
                    for row in stretch[i : i + self.batch_size]
                ]
                for i in range(0, len(stretch), self.batch_size)
            ]
        for index in generator.permutation(len(batches)):
            yield batches[index]
