"""Files of a run by path or URI: on this machine, a shared disk, or an object store. Knows no rows."""

from __future__ import annotations

import glob
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from subjectwise.data.table_formats import TEXT_FORMATS
from subjectwise.errors import DataError, OutputError
from subjectwise.utils.atomic_files import new_file
from subjectwise.utils.optional_dependencies import require

# By pyarrow's names: they show a file once it is closed, and others show what has been written of it.
_OBJECT_STORES = ("s3", "gcs", "abfs")


def is_uri(path: str) -> bool:
    """Return whether `path` names a file system as well, as `s3://bucket/questions` does."""
    return "://" in path


def is_below(path: str, folder: str) -> bool:
    """Return whether a file lies in a folder or below it, each a path or a URI."""
    if is_uri(path) or is_uri(folder):
        return path.startswith(f"{folder.rstrip('/')}/")
    return Path(path).absolute().is_relative_to(Path(folder).absolute())


def list_files(folder: str) -> list[str]:
    """Return the paths of all files below a folder or a URI, relative to it; none where it does not exist."""
    if not is_uri(folder):
        return [path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file()]
    return [name for _, name in _list_uri(folder, allow_not_found=True)]


def list_tables(pattern: str) -> list[tuple[str, str]]:
    """Return the tables of a folder, a glob pattern or a URI, with their paths relative to it, sorted.

    Raises:
        DataError: there is none.
    """
    listed = _list_uri(pattern) if is_uri(pattern) else _list_local(pattern)
    tables = [
        (path, name)
        for path, name in sorted(listed)
        if PurePosixPath(name).suffix.lower() in TEXT_FORMATS
        and not any(part.startswith((".", "_")) for part in PurePosixPath(name).parts)
    ]
    if not tables:
        raise DataError(f"Cannot read {pattern}: it has no file of a known format ({', '.join(TEXT_FORMATS)}).")
    return tables


def _list_local(pattern: str) -> list[tuple[str, str]]:
    folder = Path(pattern)
    if folder.is_file():
        return [(pattern, folder.name)]
    pattern = "**/*"
    if not folder.is_dir():
        magic = next((index for index, part in enumerate(folder.parts) if glob.has_magic(part)), len(folder.parts))
        folder, pattern = Path(*folder.parts[:magic]), str(Path(*folder.parts[magic:]))
    files = [path for path in folder.glob(pattern) if path.is_file()]
    return [(str(path), path.relative_to(folder).as_posix()) for path in files]


def _list_uri(uri: str, allow_not_found: bool = False) -> list[tuple[str, str]]:
    fs = require("pyarrow.fs", "ray")

    try:
        system, path = fs.FileSystem.from_uri(uri)
        info = system.get_file_info(path)
        if info.is_file:
            return [(uri, PurePosixPath(path).name)]
        entries = system.get_file_info(fs.FileSelector(path, allow_not_found, recursive=True))
    except (OSError, ValueError) as error:
        raise DataError(f"Cannot read {uri}: {_reason(error)}") from error
    root = uri.rstrip("/")
    names = [PurePosixPath(entry.path).relative_to(path).as_posix() for entry in entries if entry.is_file]
    return [(f"{root}/{name}", name) for name in names]


@contextmanager
def local_copy(path: str) -> Iterator[Path]:
    """Yield a path on this machine with the content of `path`, which is that path itself where it is not a URI.

    Raises:
        DataError: it cannot be read.
    """
    if not is_uri(path):
        yield Path(path)
        return
    fs = require("pyarrow.fs", "ray")

    with tempfile.TemporaryDirectory(prefix="subjectwise-") as folder:
        copy = Path(folder) / PurePosixPath(path).name
        try:
            system, source = fs.FileSystem.from_uri(path)
            with system.open_input_stream(source) as stream, copy.open("wb") as target:
                shutil.copyfileobj(stream, target)
        except OSError as error:
            raise DataError(f"Cannot read {path}: {_reason(error)}") from error
        yield copy


@contextmanager
def new_output(path: str) -> Iterator[Path]:
    """Yield a path on this machine to write; its file comes to `path` at the end, whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    if not is_uri(path):
        with new_file(Path(path)) as temporary:
            yield temporary
        return
    fs = require("pyarrow.fs", "ray")

    with tempfile.TemporaryDirectory(prefix="subjectwise-") as folder:
        written = Path(folder) / PurePosixPath(path).name
        yield written
        try:
            system, name = fs.FileSystem.from_uri(path)
            target = PurePosixPath(name)
            system.create_dir(str(target.parent), recursive=True)
            whole = system.type_name in _OBJECT_STORES
            part = name if whole else str(target.with_name(f".{target.name}.part"))
            with written.open("rb") as source, system.open_output_stream(part) as stream:
                shutil.copyfileobj(source, stream)
            if not whole:
                system.move(part, name)
        except OSError as error:
            raise OutputError(f"Cannot write {path}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """Return what a file system says of an error, which may be long, in one line."""
    return " ".join(str(error).split())[:200]
