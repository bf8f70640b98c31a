"""Hooks of MkDocs: what a page links to in the repository outside docs/ is part of the site, under `repository/`.

On GitHub such a link leads to the file itself, so pages write it as they would there: `../../examples/demo.py`.
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.structure.files import File, Files

_ROOT = Path(__file__).parents[1]
_LINK = re.compile(r"(\]\()((?:\.\./)+[^)#\s]+)")


def _outside(page: str, target: str) -> str:
    """Return the path in the repository of a link that leaves docs/; "" where it does not, or leads nowhere."""
    path = os.path.normpath(PurePosixPath("docs", page).parent / target)
    return "" if path.startswith(("docs/", "..")) or not (_ROOT / path).is_file() else path


def on_files(files: Files, config: Any) -> Files:
    """Add the files that pages link to."""
    for page in files.documentation_pages():
        for _, target in _LINK.findall(page.content_string):
            path = _outside(page.src_uri, target)
            uri = f"repository/{path}"
            if path and files.get_file_from_path(uri) is None:
                files.append(File.generated(config, uri, abs_src_path=str(_ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Point the links of a page to those files."""
    start = "../" * page.file.src_uri.count("/")

    def moved(match: re.Match[str]) -> str:
        path = _outside(page.file.src_uri, match.group(2))
        return f"{match.group(1)}{start}repository/{path}" if path else match.group()

    return _LINK.sub(moved, markdown)
