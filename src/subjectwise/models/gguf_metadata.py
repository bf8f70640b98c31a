"""The metadata of a GGUF file: its settings and its vocabulary, read without its tensors.

The `gguf` library builds an array per value, which takes seconds for a vocabulary. The format is that of
https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3, little-endian.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar, cast

from subjectwise.errors import BaseModelError

# A value of the metadata: a number, a text, a truth value, or a list of them.
MetadataValue = int | float | bool | str | list["MetadataValue"]

_T = TypeVar("_T")

# The formats of `struct` by the number of a type; 8 is a text, 9 a list.
_FORMATS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_TEXT, _LIST = 8, 9


def read_metadata(path: Path) -> dict[str, MetadataValue]:
    """Return the metadata of a GGUF file by key, such as `llama.block_count` and `tokenizer.ggml.tokens`.

    Raises:
        BaseModelError: it is not a GGUF file of a known version, or is damaged.
    """
    try:
        with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _Reader(data, path).read()
    except (OSError, ValueError, IndexError, KeyError, struct.error) as error:
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

    def read(self) -> dict[str, MetadataValue]:
        magic = self._data[:4]
        self._position = 4
        version = self._number("I")
        if magic != b"GGUF" or version not in (2, 3):
            raise BaseModelError(f"{self._path} is not a GGUF file of version 2 or 3; give another file.")
        self._number("Q")  # of tensors
        count = int(self._number("Q"))
        return dict(self._pair() for _ in range(count))

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
