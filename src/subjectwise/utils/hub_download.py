"""A folder by its path, or by its name on the Hub, from where it is then downloaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from subjectwise.errors import SubjectwiseError


@dataclass(frozen=True)
class HubOptions:
    """How files are downloaded from the Hub, with the names of huggingface_hub.

    Attributes:
        token: to read private repositories; None for that of `hf auth login` or HF_TOKEN.
        cache_dir: where downloads are kept; None for the Hub's own cache.
        local_files_only: whether to use what was downloaded before, and no network.
    """

    token: str | None = None
    cache_dir: Path | str | None = None
    local_files_only: bool = False

    def download(self, name: str, patterns: Sequence[str], revision: str | None = None) -> Path:
        """Return the local copy of a repository.

        Args:
            name: such as `user/model`.
            patterns: the files to download; never a pickle.
            revision: a commit, branch or tag; None for the newest of the main branch.

        Raises:
            HubError: it is unknown, or cannot be downloaded.
        """
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

        try:
            return Path(
                snapshot_download(
                    name,
                    revision=revision,
                    cache_dir=self.cache_dir,
                    token=self.token,
                    local_files_only=self.local_files_only,
                    allow_patterns=list(patterns),
                )
            )
        except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
            raise HubError(type(error).__name__) from error


class HubError(Exception):
    """A download that failed; the message is the name of the client's error. Never leaves the package."""


ANY_HUB = HubOptions()


def is_hub_name(name: str) -> bool:
    """Return whether a name can be one on the Hub, such as `user/model`, rather than a path."""
    return name.count("/") == 1 and not name.startswith((".", "/", "~"))


def local_folder(
    name: str | Path,
    what: str,
    patterns: Sequence[str],
    error_class: type[SubjectwiseError],
    *,
    revision: str | None = None,
    hub: HubOptions = ANY_HUB,
) -> Path:
    """Return an existing folder, or the local copy of one on the Hub.

    Args:
        name: a path, or a name on the Hub such as `user/model`.
        what: what the folder is, for errors.
        patterns: the files to download; never a pickle.
        error_class: raised where there is neither.
        revision: a commit, branch or tag on the Hub.
        hub: how to download.
    """
    path = Path(name)
    if path.is_dir():
        if revision:
            raise error_class(f"{name} is a folder on this machine, which has no revisions; leave out the revision.")
        return path
    text = str(name)
    if not is_hub_name(text):
        raise error_class(f"Unknown {what} {name}; give an existing folder, or a name on the Hub.")
    try:
        return hub.download(text, patterns, revision)
    except HubError as error:
        which = f"{name} at the revision {revision!r}" if revision else text
        if hub.local_files_only:
            raise error_class(
                f"Cannot load the {what} {which}: it was not downloaded before ({error}). "
                "Check the name, or leave out local_files_only."
            ) from error
        raise error_class(
            f"Cannot load the {what} {which}: it is not a folder here, and could not be downloaded from the Hub "
            f"({error}). Check the name, or download the folder first."
        ) from error


def folder_name(folder: Path) -> str:
    """Return the name of a folder for people: that of its repository where it is in the cache of the Hub."""
    if folder.parent.name == "snapshots":
        return folder.parents[1].name.removeprefix("models--").replace("--", "/")
    return folder.name
