"""What a model folder keeps of its base, and where that base is on this machine.

A folder may be shared, so it names a base on the disk by its last part alone. The cache of this machine keeps the
path, by the hash of the base's weights, so that who trained on a base classifies with it afterwards without saying
where it is. On another machine, or after the cache was emptied, --base says it.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from subjectwise.errors import BaseModelError, OutputError
from subjectwise.models.gguf import EMBEDDED, EMBEDDED_NAME
from subjectwise.utils.atomic_files import new_file
from subjectwise.utils.cache_folder import cache_folder


@dataclass(frozen=True)
class BaseInfo:
    """What a model folder keeps of its base, to recognise it.

    Attributes:
        name: as it was given: `embedded`, a path, or a name on the Hub.
        revision: the commit on the Hub, where it came from there.
        sha256: of the GGUF file or of the weights in a folder; empty for a Hub model, which has a revision.
        hidden_size: of its hidden states.
        vocab_size: of its output head.
    """

    name: str
    revision: str
    sha256: str
    hidden_size: int
    vocab_size: int

    @property
    def is_local(self) -> bool:
        """Whether it is a folder or a file of its own, which no other machine finds by its name."""
        return bool(self.sha256) and self.name != EMBEDDED

    @property
    def shared_name(self) -> str:
        """The name that a model folder has of it: no path of the machine that trained on it."""
        return re.split(r"[\\/]", self.name.rstrip("\\/"))[-1] if self.is_local else self.name

    @property
    def public_name(self) -> str:
        """The name for other people: that of the embedded base on the Hub too."""
        return EMBEDDED_NAME if self.name == EMBEDDED else self.shared_name


def remember_base(info: BaseInfo) -> None:
    """Keep in the cache where a base on the disk is, if it is there and the cache can be written."""
    if info.is_local and Path(info.name).exists():
        with suppress(OutputError), new_file(_location_file(info)) as temporary:
            temporary.write_text(str(Path(info.name).absolute()), encoding="utf-8")


def locate_base(info: BaseInfo) -> str:
    """Return the name or path to load a model folder's base by.

    Raises:
        BaseModelError: it was on the disk of the machine that trained on it, and is unknown here.
    """
    if not info.is_local:
        return info.name
    with suppress(OSError, UnicodeDecodeError):
        remembered = _location_file(info).read_text(encoding="utf-8")
        if Path(remembered).exists():
            return remembered
    if Path(info.name).exists():  # 0.1.0 wrote the path
        return info.name
    raise BaseModelError(
        f"The base {info.shared_name} is unknown on this machine; give its folder or file (--base, base= in Python)."
    )


def _location_file(info: BaseInfo) -> Path:
    return cache_folder() / "bases" / f"{info.sha256}.path"
