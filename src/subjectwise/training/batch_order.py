"""Which rows an epoch puts into which batch, in which order and process. Knows lengths; knows no tokens, no model."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle, islice

import numpy as np

from subjectwise.training.training_rows import RowView
from subjectwise.types import IntArray


class LengthBatches:
    """Batches of rows of similar length, in an order that the seed and the epoch alone decide.

    Rows are shuffled, sorted by length within stretches of 32 batches, and the batches shuffled; a batch with fewer
    rows than the others stays last. Each epoch draws again which rows are shown with their options, in which of those
    views, and which are shown with noise.

    Several processes take turns: together they show every row, and each has the same number of batches, for which the
    epoch's first batches are shown again at its end where their number asks for it.

    Args:
        lengths: tokens of each row in each view, [views, rows].
        batch_size: rows per batch.
        options_share: the share of the rows shown with their options.
        seed: of the order.
        noisy_share: the share of the rows shown with noise.
        rank: the process whose batches these are.
        processes: how many there are.
    """

    def __init__(
        self,
        lengths: IntArray,
        batch_size: int,
        options_share: float,
        seed: int,
        noisy_share: float = 0.0,
        *,
        rank: int = 0,
        processes: int = 1,
    ) -> None:
        self.lengths, self.batch_size, self.seed, self.epoch = lengths, batch_size, seed, 0
        self.options_share, self.noisy_share = options_share, noisy_share
        self.rank, self.processes = rank, processes

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch whose order is drawn next."""
        self.epoch = epoch

    def __len__(self) -> int:
        batches = -(-int(self.lengths.shape[1]) // self.batch_size)
        return -(-batches // self.processes)

    def __iter__(self) -> Iterator[list[RowView]]:
        needed = len(self) * self.processes
        return islice(cycle(self._whole_epoch()), self.rank, needed, self.processes)

    def _whole_epoch(self) -> list[list[RowView]]:
        """Return the batches of all processes."""
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
        full = rows // self.batch_size
        return [batches[index] for index in generator.permutation(full)] + batches[full:]
