"""Tensors of a safetensors file as float32 arrays, bfloat16 included, which numpy lacks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from subjectwise.types import Float32Array
from subjectwise.utils.bfloat16 import from_halves

# From the type of a tensor to numpy's; bfloat16 is read as the upper half of float32.
_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}


def array_readers(path: Path) -> dict[str, Callable[[], Float32Array]]:
    """Return a function for each tensor of a safetensors file, which reads it in float32.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is damaged, or has a tensor of another type than floating point.
    """
    with path.open("rb") as stream:
        size = int.from_bytes(stream.read(8), "little")
        length = path.stat().st_size
        if not 0 < size <= length - 8:
            raise ValueError(f"{path.name} is damaged: its header is cut off.")
        header = json.loads(stream.read(size))
    header.pop("__metadata__", None)
    readers = {}
    for name, entry in header.items():
        start, end = entry["data_offsets"]
        kind, shape = entry["dtype"], tuple(entry["shape"])
        if kind not in _TYPES:
            raise ValueError(f"{path.name} has the tensor {name} of the type {kind}.")
        if end > length - 8 - size or end - start != int(np.prod(shape)) * np.dtype(_TYPES[kind]).itemsize:
            raise ValueError(f"{path.name} is damaged: the tensor {name} is cut off.")
        readers[name] = _reader(path, 8 + size + start, kind, shape)
    return readers


def _reader(path: Path, offset: int, kind: str, shape: tuple[int, ...]) -> Callable[[], Float32Array]:
    def read() -> Float32Array:
        values = np.fromfile(path, _TYPES[kind], int(np.prod(shape)), offset=offset).reshape(shape)
        if kind == "BF16":
            return from_halves(values)
        return values.astype(np.float32, copy=False)

    return read
