"""Where a model folder and its base are, by the names that a caller gives; downloads what is on the Hub."""

from __future__ import annotations

from pathlib import Path

from subjectwise.models.base_files import base_files
from subjectwise.models.base_info import locate_base
from subjectwise.models.model_config import read_config
from subjectwise.models.model_folder import find_model_folder
from subjectwise.utils.hub_download import ANY_HUB, HubOptions


def find_pretrained(
    name: str | Path | None, base: str | None, revision: str | None, hub: HubOptions
) -> tuple[Path, str | None]:
    """Return a model folder on this machine, and the base to load it on.

    Args:
        name: a folder, or a name on the Hub; None for the shipped one.
        base: in place of the base that the folder names; None for that one.
        revision: of the model folder on the Hub.
        hub: how to download the folder, and the base where that is on the Hub.

    Returns:
        The folder; and a folder or name of the base, None where the folder knows it.

    Raises:
        ModelFolderError: there is no such folder, or it cannot be downloaded.
        BaseModelError: the base is missing, or cannot be downloaded.
    """
    folder = find_model_folder(name, revision, hub)
    config = read_config(folder)
    if hub == ANY_HUB or config.head.whole:
        return folder, base
    files = base_files(base or locate_base(config.base), None if base else config.base.revision or None, hub)
    return folder, str(files.path) if files.revision else base
