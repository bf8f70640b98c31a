"""A model folder as bytes, to travel inside a pickle."""

from __future__ import annotations

from pathlib import Path


def read_bytes(folder: Path) -> dict[str, bytes]:
    """Return the content of each file by its path in the folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def write_bytes(folder: Path, files: dict[str, bytes]) -> None:
    """Write what `read_bytes` returned into a new `folder`."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
