"""GGUF files: settings, vocabulary and tensors by name.

The reader of the `gguf` library builds an array per value, which takes seconds for a vocabulary; of that library only
the formats of quantized tensors are used. The file format is that of
https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3, little-endian.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, cast

import numpy as np

from subjectwise.errors import BaseModelError
from subjectwise.types import Float32Array

# A value of the metadata: a number, a text, a truth value, or a list of them.
MetadataValue = int | float | bool | str | list["MetadataValue"]

_T = TypeVar("_T")

# The formats of `struct` by the number of a type; 8 is a text, 9 a list.
_FORMATS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_TEXT, _LIST = 8, 9
_ALIGNMENT = 32  # bytes, of the tensors, where `general.alignment` does not say otherwise


@dataclass(frozen=True)
class GGUFTensor:
    """A tensor in a file.

    Attributes:
        shape: of its values, rows first, as numpy has it.
        kind: the number of its format, `gguf.GGMLQuantizationType`.
        start: its first byte in the file.
    """

    shape: tuple[int, ...]
    kind: int
    start: int


@dataclass(frozen=True)
class GGUFFile:
    """The content of a file, its tensors unread.

    Attributes:
        path: of the file.
        metadata: by key, such as `llama.block_count` and `tokenizer.ggml.tokens`.
        tensors: by name, such as `blk.0.attn_q.weight`.
    """

    path: Path
    metadata: dict[str, MetadataValue]
    tensors: dict[str, GGUFTensor]

    def values(self, name: str) -> Float32Array:
        """Read a tensor, dequantized.

        Raises:
            BaseModelError: the file ends within it, or its format is unknown.
        """
        from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, dequantize

        tensor = self.tensors[name]
        try:
            kind = GGMLQuantizationType(tensor.kind)
            values_per_block, bytes_per_block = GGML_QUANT_SIZES[kind]
            *rows, columns = tensor.shape
            shape = (*rows, columns // values_per_block * bytes_per_block)
            stored = np.memmap(self.path, np.uint8, "r", tensor.start, shape)
            values: Float32Array = dequantize(stored, kind)
        except (ValueError, KeyError, NotImplementedError, OSError) as error:
            text = " ".join(str(error).split())[:200]
            raise BaseModelError(f"Cannot read the tensor {name} of {self.path}: {text}.") from error
        return values.reshape(tensor.shape)


def read_gguf(path: Path) -> GGUFFile:
    """Read the metadata of a GGUF file and where its tensors are.

    Raises:
        BaseModelError: it is not a GGUF file of a known version, or is damaged.
    """
    try:
        with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _Reader(data, path).read()
    except (OSError, ValueError, IndexError, KeyError, TypeError, struct.error) as error:
        raise BaseModelError(
            f"Cannot read {path} as GGUF ({type(error).__name__}); it is missing or damaged."
        ) from error


def metadata_value(metadata: Mapping[str, MetadataValue], key: str, kind: type[_T], path: Path) -> _T:
    """Return the value of `key`.

    Raises:
        BaseModelError: it is missing, or not of the type `kind`.
    """
    value = metadata.get(key)
    if not isinstance(value, kind):
        raise BaseModelError(f"{path} lacks {key}, or has it in another form; it is not a complete language model.")
    return value


class _Reader:
    """Reads values one after the other."""

    def __init__(self, data: mmap.mmap, path: Path) -> None:
        self._data, self._path, self._position = data, path, 0

    def read(self) -> GGUFFile:
        magic = self._data[:4]
        self._position = 4
        version = self._number("I")
        if magic != b"GGUF" or version not in (2, 3):
            raise BaseModelError(f"{self._path} is not a GGUF file of version 2 or 3; give another file.")
        tensors, pairs = int(self._number("Q")), int(self._number("Q"))
        metadata = dict(self._pair() for _ in range(pairs))
        listed = dict(self._tensor() for _ in range(tensors))
        alignment = cast(int, metadata.get("general.alignment", _ALIGNMENT))
        start = -(-self._position // alignment) * alignment  # where the first tensor may begin
        placed = {name: GGUFTensor(shape, kind, start + offset) for name, (shape, kind, offset) in listed.items()}
        return GGUFFile(self._path, metadata, placed)

    def _tensor(self) -> tuple[str, tuple[tuple[int, ...], int, int]]:
        name, dimensions = self._text(), int(self._number("I"))
        shape = tuple(int(self._number("Q")) for _ in range(dimensions))[::-1]  # columns come first in the file
        return name, (shape, int(self._number("I")), int(self._number("Q")))

    def _pair(self) -> tuple[str, MetadataValue]:
        key = self._text()
        return key, self._value(int(self._number("I")))

    def _value(self, kind: int) -> MetadataValue:
        if kind == _TEXT:
            return self._text()
        if kind != _LIST:
            return self._number(_FORMATS[kind])
        kind, count = int(self._number("I")), int(self._number("Q"))
        if kind in _FORMATS:
            size = count * struct.calcsize(f"<{_FORMATS[kind]}")
            values = struct.unpack(f"<{count}{_FORMATS[kind]}", self._take(size))
            return cast("list[MetadataValue]", list(values))
        return self._texts(count) if kind == _TEXT else [self._value(kind) for _ in range(count)]

    def _number(self, format_: str) -> int | float | bool:
        [number] = struct.unpack(f"<{format_}", self._take(struct.calcsize(f"<{format_}")))
        return cast("int | float | bool", number)

    def _text(self) -> str:
        return self._take(int(self._number("Q"))).decode("utf-8", errors="replace")

    def _texts(self, count: int) -> list[MetadataValue]:
        """Return a list of texts; a vocabulary has a hundred thousand, so that this loop calls as little as it can."""
        data, position, size_at = self._data, self._position, struct.Struct("<Q").unpack_from
        texts: list[MetadataValue] = []
        for _ in range(count):
            start = position + 8
            position = start + size_at(data, position)[0]
            texts.append(data[start:position].decode("utf-8", errors="replace"))
        self._position = position
        self._take(0)  # where the last text ends behind the file
        return texts

    def _take(self, size: int) -> bytes:
        start, self._position = self._position, self._position + size
        if self._position > len(self._data):
            raise IndexError
        return self._data[start : self._position]
