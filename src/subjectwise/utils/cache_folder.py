"""The folder of what is made once on this machine: converted bases, compiled models, hashes of large files."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from subjectwise.errors import OutputError
from subjectwise.utils.atomic_files import file_sha256, new_file


def cache_folder() -> Path:
    """Return that folder: `SUBJECTWISE_CACHE`, else `subjectwise` in the user's cache folder."""
    given = os.environ.get("SUBJECTWISE_CACHE")
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(given) if given else Path(home) / "subjectwise"


def known_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, computed again only where its size, inode or time of change differ."""
    state = path.stat()
    stamp = [state.st_size, state.st_mtime_ns, state.st_ino]
    name = sha256(str(path.resolve()).encode()).hexdigest()[:32]
    file = cache_folder() / "hashes" / f"{name}.json"
    with suppress(OSError, ValueError, TypeError, KeyError):
        known = json.loads(file.read_text(encoding="utf-8"))
        if known["stamp"] == stamp and len(known["sha256"]) == 64:
            return str(known["sha256"])
    value = file_sha256(path)
    with suppress(OutputError), new_file(file) as temporary:
        temporary.write_text(json.dumps({"stamp": stamp, "sha256": value}), encoding="utf-8")
    return value


def known_files_sha256(paths: list[Path]) -> str:
    """Return what `files_sha256` does, from hashes that are kept."""
    if len(paths) == 1:
        return known_sha256(paths[0])
    return sha256("".join(map(known_sha256, paths)).encode()).hexdigest()
