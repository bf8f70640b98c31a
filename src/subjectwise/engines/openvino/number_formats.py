"""In which numbers weights are kept. Knows no model.

A processor that computes in bfloat16 gets bfloat16 weights. One that computes in float32 gets the values that bfloat16
or float16 weights have, or that an adapter merged in float32 has, unrounded: its kernels read float32 in any case.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from subjectwise.types import Float32Array, IntArray
from subjectwise.utils.bfloat16 import from_halves, is_exact, round_to_halves

FLOAT32, BFLOAT16 = "f32", "bf16"


def constant(values: Float32Array, kind: str) -> ov.Node:
    """Return a weight as a node of a graph, float32 where it is used.

    Args:
        values: of any shape.
        kind: `f32`, or `bf16`, in which it is then kept.
    """
    if kind == FLOAT32:
        return ops.constant(np.ascontiguousarray(values))
    halves = round_to_halves(values)
    return ops.convert(ops.constant(ov.Tensor(halves, list(halves.shape), ov.Type.bf16)), "f32")


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
