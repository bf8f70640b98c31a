"""Writes files and folders whole or not at all: under a temporary name first, then renamed."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from subjectwise.errors import OutputError, SubjectwiseError


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns what the system says about a failed write into one sentence that names `path`."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise OutputError(f"The disk is full; {path} was not written. Free some space and run it again.") from error
        reason = error.strerror or str(error)
        raise OutputError(f"{path} cannot be written: {reason}. Choose another place with --output.") from error


@contextmanager
def new_folder(path: Path, replace: bool = False) -> Iterator[Path]:
    """Gives a temporary folder beside `path`; renames it to `path` at the end, or removes it after an error.

    Raises:
        OutputError: `path` holds something already (unless `replace`), or cannot be written.
    """
    with writing(path):
        path = path.absolute()
        if path.exists() and not replace and (not path.is_dir() or any(path.iterdir())):
            raise OutputError(f"{path} exists already; choose another place, or remove it first.")
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        try:
            yield temporary
            temporary.chmod(0o755)
            for file in temporary.rglob("*"):  # safetensors writes files that only their owner can read
                file.chmod(0o755 if file.is_dir() else 0o644)
            old = temporary.with_name(f"{temporary.name}.old")
            if path.exists():
                path.rename(old)
            temporary.rename(path)
            shutil.rmtree(old, ignore_errors=True)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Gives a temporary file beside `path`; renames it to `path` at the end, or removes it after an error."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            yield temporary
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    with new_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path, error_class: type[SubjectwiseError]) -> dict[str, Any]:
    """The JSON object in `path`; `error_class` when it is missing, damaged or not an object."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise error_class(
            f"{path} cannot be read as JSON ({type(error).__name__}); it is missing or damaged."
        ) from error
    if not isinstance(content, dict):
        raise error_class(f"{path} does not hold a JSON object.")
    return content


def file_sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
