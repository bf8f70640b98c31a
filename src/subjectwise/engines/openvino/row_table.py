"""Rows of a matrix in a file, such as embeddings. Knows no model."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from subjectwise.types import Float32Array, IntArray
from subjectwise.utils.bfloat16 import from_halves, is_exact, round_to_halves


class Table:
    """Rows of a matrix in a file, read when they are asked for: in 16 bits where that loses nothing.

    Args:
        file: as `write_table` wrote it.
    """

    def __init__(self, file: Path) -> None:
        self._rows = np.load(file, mmap_mode="r")  # [rows, columns]

    def __getitem__(self, indices: IntArray) -> Float32Array:
        """Return the rows at `indices`, of any shape, in float32: [*indices, columns]."""
        rows = np.asarray(self._rows[indices])
        return rows if rows.dtype == np.float32 else from_halves(rows)


def write_table(file: Path, rows: Float32Array) -> None:
    """Write a matrix, [rows, columns], for `Table`."""
    with file.open("wb") as stream:
        np.save(stream, round_to_halves(rows) if is_exact(rows) else rows, allow_pickle=False)
