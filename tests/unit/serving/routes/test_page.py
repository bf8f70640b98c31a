from __future__ import annotations

from pathlib import Path

import pytest

from helpers.serving import check_refused, serving_fake
from subjectwise.serving.routes import page


def test_the_page_and_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "page").mkdir()
    (tmp_path / "page/index.html").write_text("<p>the page</p>")
    (tmp_path / "page/page.css").write_text("p {}")
    (tmp_path / "secret.txt").write_text("secret")
    monkeypatch.setattr(page, "FOLDER", tmp_path / "page")
    with serving_fake() as client:
        assert "the page" in client.get("/").text
        assert client.get("/page/page.css").headers["Content-Type"].startswith("text/css")
        assert client.get("/favicon.ico").headers["Content-Type"].startswith("image/svg+xml")
        for path in ("/page/../secret.txt", "/page/%2e%2e/secret.txt", "/page/..%2fsecret.txt", "/page//etc/passwd"):
            check_refused(client.get(path), 404)


def test_without_the_page_the_documentation_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "FOLDER", tmp_path / "none")
    with serving_fake() as client:
        assert client.get("/").headers["Location"] == "docs"
        assert "The HTTP interface" in client.get("/docs").text
        check_refused(client.get("/page/page.css"), 404)


def test_the_shipped_page_is_complete() -> None:
    with serving_fake() as client:
        text = client.get("/").text
        for name in ("page/page.css", "page/page.js"):
            assert name in text and client.get(f"/{name}").status_code == 200
