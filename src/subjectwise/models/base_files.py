"""Where the files of a base are: the embedded GGUF file, a folder, a file, or a name on the Hub. Loads no weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from subjectwise.errors import BaseModelError
from subjectwise.models.gguf import EMBEDDED, EMBEDDED_INSTALL, EMBEDDED_SHA256, embedded_file
from subjectwise.utils.cache_folder import known_files_sha256, known_sha256
from subjectwise.utils.hub_download import ANY_HUB, HubError, HubOptions

# Of a base on the Hub; never a pickle.
_BASE_FILES = ("*.json", "*.safetensors", "*.jinja", "*.txt")


@dataclass(frozen=True)
class BaseFiles:
    """The files of a base on this machine.

    Attributes:
        path: a GGUF file, or a folder with safetensors.
        sha256: of the weights.
        revision: the commit on the Hub, where it came from there.
    """

    path: Path
    sha256: str
    revision: str = ""


def local_base(name: str) -> BaseFiles | None:
    """Return the files of a base that is on this machine by its name; None for a name on the Hub.

    Raises:
        BaseModelError: it is missing, damaged, or only in a format that is not read.
    """
    if name == EMBEDDED:
        path = embedded_file()
        sha256 = known_sha256(path)
        if sha256 != EMBEDDED_SHA256:
            raise BaseModelError(f"{path} is damaged or another file (its hash differs); run: {EMBEDDED_INSTALL}")
        return BaseFiles(path, sha256)
    path = Path(name)
    if path.suffix.lower() == ".gguf":
        if not path.is_file():
            raise BaseModelError(f"Unknown file {name}; give an existing GGUF file.")
        return BaseFiles(path, known_sha256(path))
    if path.is_dir():
        weights = sorted(path.glob("*.safetensors"))
        if not weights:
            pickles = [file.name for file in (*path.glob("*.bin"), *path.glob("*.pt"), *path.glob("*.pkl"))]
            content = f"only {pickles[0]}, a pickle, which is not loaded" if pickles else "no weights"
            raise BaseModelError(f"The folder {name} has {content}; a base needs *.safetensors.")
        return BaseFiles(path, known_files_sha256(weights))
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise BaseModelError(f"Unknown folder {name}; give an existing folder, or a name on the Hub.")
    return None


def base_files(name: str, revision: str | None = None, hub: HubOptions = ANY_HUB) -> BaseFiles:
    """Return the files of a base, downloaded where it is a name on the Hub.

    Args:
        name: as for `local_base`.
        revision: a commit, branch or tag on the Hub.
        hub: how to download.

    Raises:
        BaseModelError: as for `local_base`, or it cannot be downloaded.
    """
    local = local_base(name)
    if local is not None:
        return local
    try:
        folder = hub.download(name, _BASE_FILES, revision)
    except HubError as error:
        raise BaseModelError(
            f"{name} is not in the local cache, and could not be downloaded from the Hub ({error}); give a folder, or "
            f"use {EMBEDDED!r}."
        ) from error
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise BaseModelError(f"{name} has no *.safetensors on the Hub; use another base.")
    return BaseFiles(folder, known_files_sha256(weights), folder.name)  # a snapshot is named by its commit
