"""Changes to the JSON files of a model folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any


def copy_folder(folder: Path, path: Path) -> Path:
    return Path(shutil.copytree(folder, path))


def read(file: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return content


def edit(file: Path, **changes: Any) -> None:
    """Replace keys of a JSON object."""
    file.write_text(json.dumps(read(file) | changes), encoding="utf-8")
