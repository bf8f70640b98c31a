from __future__ import annotations

import json
from pathlib import Path

from screenshots import IMAGES, SOURCES, current_sources, hash_files

COMMAND = "python benchmarks/screenshots.py --reports benchmarks/work/reports"


def test_the_pictures_show_the_page_the_report_and_the_model_of_today() -> None:
    shown = json.loads(SOURCES.read_text(encoding="utf-8"))
    older = [name for name, found in current_sources().items() if shown.get(name) != found]
    assert not older, f"docs/images/ shows another {' and '.join(older)}; run: {COMMAND}"
    for name in ("page-light", "page-dark", "page-phone", "page-compare", "report", "report-phone"):
        assert (IMAGES / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_a_changed_and_a_renamed_file_are_seen(tmp_path: Path) -> None:
    file = tmp_path / "page.css"
    file.write_bytes(b"p {}\n")
    first = hash_files([file])
    file.write_bytes(b"p {}\r\n")
    assert hash_files([file]) == first, "a clone may end lines otherwise"
    file.write_bytes(b"p { }\n")
    assert hash_files([file]) != first
    file.write_bytes(b"p {}\n")
    assert hash_files([file.rename(tmp_path / "other.css")]) != first
