"""Compiled models in the cache folder, each made once and read back in a fraction of a second. Knows no weights.

An entry is a folder named by a hash of all that it depends on. It is written whole or not at all, by one process while
others wait; a damaged one is made again. Together they take a bounded share of the disk: the oldest are removed first.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from filelock import FileLock

from subjectwise.errors import OutputError
from subjectwise.utils.atomic_files import new_folder, writing
from subjectwise.utils.cache_folder import cache_folder

# Of all entries together: some ten models of 135 million parameters, or two of 600 million.
MOST_BYTES = 6 * 1024**3

_INFO_FILE = "entry.json"

# How much of each file is read to recognise damage: as many blocks of so many bytes, evenly apart.
_BLOCKS, _BLOCK_BYTES = 64, 4096

# Entries of this process where the cache folder cannot be written.
_temporary: dict[str, tempfile.TemporaryDirectory[str]] = {}


def compiled_entry(parts: Mapping[str, str], make: Callable[[Path], None], *, again: bool = False) -> Path:
    """Return the folder of an entry, made where it is missing, damaged or of another content.

    Args:
        parts: all that the entry depends on, by name.
        make: writes its files into an empty folder.
        again: make it again although it looks whole.

    Returns:
        An existing folder with what `make` wrote. Where the cache folder cannot be written it lasts as long as the
        process.
    """
    text = json.dumps(dict(parts), sort_keys=True)
    name = sha256(text.encode()).hexdigest()[:32]
    folder = cache_folder() / "compiled" / name
    if not again and _is_whole(folder, text):
        with suppress(OSError):
            os.utime(folder / _INFO_FILE)  # used last
        return folder
    try:
        with writing(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(folder.with_name(f"{name}.lock"))
            lock.acquire()
        try:
            if again or not _is_whole(folder, text):  # another process may have made it meanwhile
                with new_folder(folder, replace=True) as temporary:
                    make(temporary)
                    _write_info(temporary, text)
        finally:
            lock.release()
        _remove_oldest(folder)
    except OutputError:
        if name not in _temporary or again:
            _temporary[name] = tempfile.TemporaryDirectory(prefix="subjectwise-")
            make(Path(_temporary[name].name))
        return Path(_temporary[name].name)
    return folder


def _write_info(folder: Path, text: str) -> None:
    files = {file.name: _fingerprint(file) for file in sorted(folder.iterdir())}
    (folder / _INFO_FILE).write_text(json.dumps({"parts": text, "files": files}), encoding="utf-8")


def _is_whole(folder: Path, text: str) -> bool:
    try:
        info = json.loads((folder / _INFO_FILE).read_text(encoding="utf-8"))
        return info["parts"] == text and all(
            _fingerprint(folder / name) == value for name, value in info["files"].items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _fingerprint(file: Path) -> str:
    """Return the size of a file and a hash of blocks of it, its first and its last among them."""
    size = file.stat().st_size
    last = max(size - _BLOCK_BYTES, 0)
    digest = sha256()
    with file.open("rb") as stream:
        for number in range(_BLOCKS):
            stream.seek(last * number // (_BLOCKS - 1))
            digest.update(stream.read(_BLOCK_BYTES))
    return f"{size}:{digest.hexdigest()[:32]}"


def _remove_oldest(kept: Path) -> None:
    """Remove entries that were used longest ago until the rest takes no more than `MOST_BYTES`; never `kept`."""
    entries = []
    for info in kept.parent.glob(f"*/{_INFO_FILE}"):
        with suppress(OSError):
            size = sum(file.stat().st_size for file in info.parent.iterdir())
            entries.append((info.parent == kept, info.stat().st_mtime, size, info.parent))
    total = 0
    for own, _, size, folder in sorted(entries, reverse=True):
        total += size
        if total > MOST_BYTES and not own:
            shutil.rmtree(folder, ignore_errors=True)
