"""Files and folders that are written whole or not at all: under a temporary name first, then renamed."""

from __future__ import annotations

import errno
import glob
import hashlib
import json
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from subjectwise.errors import OutputError, SubjectwiseError
from subjectwise.types import JsonObject

# No space on the disk, or none left of the user's share (a quota, which Windows reports as the former).
_NO_SPACE = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))


def check_new(path: Path, empty_folder: bool = False) -> None:
    """Raise OutputError where `path` exists, before work begins whose result would be lost.

    Args:
        path: to write later.
        empty_folder: whether an empty folder of that name is fine.
    """
    if path.exists() and not (empty_folder and path.is_dir() and not any(path.iterdir())):
        raise OutputError(f"{path} already exists; choose another path, or remove it first.")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an operating system error while writing `path` into one sentence.

    Put it around the writing alone: a failed read within it would be reported as a failed write.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise OutputError(f"Cannot write {path}: the disk is full. Free some space and run it again.") from error
        reason = error.strerror or str(error)
        raise OutputError(f"Cannot write {path}: {reason}. Choose another path with --output.") from error


@contextmanager
def new_folder(path: Path, replace: bool = False) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; rename it to `path` at the end, or remove it after an error.

    Its files are as readable as the umask allows: safetensors, for one, writes files that only their owner can read.

    Raises:
        OutputError: `path` exists and is not an empty folder (unless `replace`), cannot be written, or the disk is
            full. Other errors of the caller's own work pass unchanged.
    """
    path = path.absolute()
    if not replace:
        check_new(path, empty_folder=True)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = _temporary(path)
        temporary.mkdir()
    try:
        with _full_disk(path):
            yield temporary
        with writing(path):
            mode = stat.S_IMODE(temporary.stat().st_mode)
            for file in temporary.rglob("*"):
                file.chmod(mode if file.is_dir() else mode & 0o666)
                _flush(file)
            _flush(temporary)
            if not replace:
                check_new(path, empty_folder=True)  # what another process wrote meanwhile stays
            old = temporary.with_name(f"{temporary.name}.old")
            if path.exists():
                path.rename(old)
            temporary.rename(path)
            _flush(path.parent)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Yield an empty temporary file beside `path`; rename it to `path` at the end, or remove it after an error.

    Raises:
        OutputError: `path` cannot be written, or the disk is full. Other errors of the caller's own work pass
            unchanged.
    """
    temporary = _temporary(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()
    try:
        with _full_disk(path):
            yield temporary
        with writing(path):
            _flush(temporary)
            temporary.replace(path)
            _flush(path.parent)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def remove_leftovers(path: Path) -> None:
    """Remove what processes left that were killed while they wrote `path`; others must not be writing it now."""
    for file in path.parent.glob(f".{glob.escape(path.name)}.*-*.part"):
        with suppress(OSError):
            file.unlink()


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(3)}.part")


@contextmanager
def _full_disk(path: Path) -> Iterator[None]:
    """Report a full disk, which can only be an error of writing; leave all other errors as they are."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_SPACE:
            raise
        with writing(path):
            raise


def _flush(path: Path) -> None:
    """Wait until the content of a file, or the names in a folder, are on the disk, where no crash can undo them."""
    posix = os.name == "posix"
    if path.is_dir() and not posix:
        return
    descriptor = os.open(path, os.O_RDONLY if posix else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: Path, content: object) -> None:
    """Write `content` as indented JSON."""
    with new_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path, error_class: type[SubjectwiseError]) -> JsonObject:
    """Read the JSON object in `path`; raise `error_class` when it is missing, damaged or not an object."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise error_class(f"Cannot read {path} as JSON ({type(error).__name__}); it is missing or damaged.") from error
    if not isinstance(content, dict):
        raise error_class(f"{path} is not a JSON object.")
    return content


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hex digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def files_sha256(paths: list[Path]) -> str:
    """Return one SHA-256 for several files; for a single one that of its content."""
    if len(paths) == 1:
        return file_sha256(paths[0])
    return hashlib.sha256("".join(map(file_sha256, paths)).encode()).hexdigest()
