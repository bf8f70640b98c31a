"""bfloat16 numbers in numpy, which lacks the type: the upper halves of float32 numbers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from subjectwise.types import Float32Array

Halves = npt.NDArray[np.uint16]


def round_to_halves(values: Float32Array) -> Halves:
    """Return the nearest bfloat16 numbers as 16 bits each; ties go to even."""
    bits = np.ascontiguousarray(values).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def from_halves(halves: Halves) -> Float32Array:
    """Return bfloat16 numbers of 16 bits each as float32."""
    return (halves.astype(np.uint32) << 16).view(np.float32)


def is_exact(values: Float32Array) -> bool:
    """Return whether bfloat16 has every one of these numbers."""
    return not (np.ascontiguousarray(values).view(np.uint32) & 0xFFFF).any()
