"""Take the pictures of docs/images/: the page in light and dark and on a phone, and the report.

    python benchmarks/screenshots.py --reports benchmarks/work/reports

Serves the shipped model, and renders the reports that benchmarks/kinds.py left in a folder. Writes beside the pictures
which page, report and model they show, in sources.json; a test compares. Needs Chromium and playwright. Half a minute.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import subjectwise

PACKAGE = Path(subjectwise.__file__).parent
IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
SOURCES = IMAGES / "sources.json"
FOLDERS = {"page": PACKAGE / "serving/page", "report": PACKAGE / "evaluation/report"}
BROWSERS = ("chromium", "chromium-browser", "google-chrome")

QUESTION = "Why do people remember the first and last items of a list best?"
COMPARED = ("Which company makes the most popular smartphone?", "Book me a table for two tonight.")


def hash_files(files: Iterable[Path]) -> str:
    """Return one hash of the names and contents of text files, whatever ends their lines."""
    found = hashlib.sha256()
    for file in sorted(files):
        found.update(file.name.encode() + b"\0" + file.read_text(encoding="utf-8").encode() + b"\0")
    return found.hexdigest()


def current_sources() -> dict[str, str]:
    """Return what pictures taken now would show."""
    folders = {
        name: hash_files(file for file in folder.iterdir() if file.is_file()) for name, folder in FOLDERS.items()
    }
    model = hashlib.sha256((PACKAGE / "shipped/adapter_model.safetensors").read_bytes()).hexdigest()
    return {**folders, "model": model}


@contextmanager
def served_model() -> Iterator[str]:
    """Serve the shipped model; yield its address."""
    command = [sys.executable, "-m", "subjectwise.cli.app", "serve", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        assert process.stderr is not None
        try:
            yield next(str(line["address"]) for line in map(json.loads, process.stderr) if line["event"] == "ready")
        finally:
            process.terminate()


@contextmanager
def opened(
    browser: Any, address: str, width: int, height: int, scheme: str = "light", scale: float = 2
) -> Iterator[Any]:
    """Open an address in a window of its own."""
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, device_scale_factor=scale
    )
    page = context.new_page()
    page.set_default_timeout(120_000)
    page.goto(address)
    yield page
    context.close()


def picture(page: Any, name: str, answers: int = 0) -> None:
    """Write a picture of the window, once so many answers have their explanation."""
    if answers:
        page.locator(".reason:not([hidden])").nth(answers - 1).wait_for()
    # Neither a blinking cursor nor the ring around the field.
    page.evaluate("document.activeElement?.blur()")
    page.screenshot(path=IMAGES / f"{name}.png")


def take_pictures(browser: Any, address: str, report: str) -> None:
    """Write all pictures."""
    one = f"{address}/#{urlencode({'q': QUESTION})}"
    two = f"{address}/#{urlencode({'q': COMPARED[0], 'vs': COMPARED[1]})}"
    for scheme in ("light", "dark"):
        with opened(browser, one, 1280, 760, scheme, 1.5) as page:
            picture(page, f"page-{scheme}", 1)
    with opened(browser, two, 1280, 760, scale=1.5) as page:
        picture(page, "page-compare", 2)
    with opened(browser, one, 400, 860) as page:
        page.wait_for_selector("#result:not([hidden])")
        picture(page, "page-phone", 1)
    with opened(browser, report, 1280, 900, scale=1.5) as page:
        picture(page, "report")
    with opened(browser, report, 400, 860) as page:
        picture(page, "report-phone")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reports", type=Path, required=True, help="a folder as 'subjectwise report' takes it")
    reports: Path = parser.parse_args().reports

    from playwright.sync_api import sync_playwright

    from subjectwise.evaluation.report.find_reports import open_reports
    from subjectwise.evaluation.report.render_page import write_page

    sources = current_sources()
    if open_reports(reports).main.report.model_sha256 != sources["model"]:
        print("The reports are not of the shipped model; measure it with benchmarks/kinds.py.", file=sys.stderr)
    IMAGES.mkdir(parents=True, exist_ok=True)
    browser_path = next(filter(None, map(shutil.which, BROWSERS)), None)
    with tempfile.TemporaryDirectory() as folder, served_model() as address, sync_playwright() as started:
        report = write_page(reports, Path(folder) / "report.html").page
        browser = started.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        take_pictures(browser, address, report.as_uri())
        browser.close()
    SOURCES.write_text(json.dumps(sources, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
