"""A folder by its path, or by its name on the Hub, from where it is then downloaded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from subjectwise.errors import SubjectwiseError


def local_folder(name: str | Path, what: str, patterns: Sequence[str], error_class: type[SubjectwiseError]) -> Path:
    """Return an existing folder, or the local copy of one on the Hub.

    Args:
        name: a path, or a name on the Hub such as `user/model`.
        what: what the folder is, for errors.
        patterns: the files to download; never a pickle.
        error_class: raised where there is neither.
    """
    path = Path(name)
    if path.is_dir():
        return path
    text = str(name)
    if text.count("/") != 1 or text.startswith((".", "/", "~")):
        raise error_class(f"Unknown {what} {name}; give an existing folder, or a name on the Hub.")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(text, allow_patterns=list(patterns)))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise error_class(
            f"Cannot load the {what} {name}: it is not a folder here, and could not be downloaded from the Hub "
            f"({type(error).__name__}). Check the name, or download the folder first."
        ) from error
