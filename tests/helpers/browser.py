"""Chromium, a page in it that must stay without problems, and answers in the service's place."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from helpers.requirements import find_browser
from helpers.serve_process import Process

WIDE = {"width": 1280, "height": 900}
PHONE = {"width": 400, "height": 800}


@contextmanager
def open_chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=find_browser(), args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def open_page(browser: Any, server: Process, address: str = "", **options: Any) -> Iterator[Any]:
    """Open the page; fail where it has an error of its own, or makes a request to anywhere else."""
    context = browser.new_context(**{"viewport": WIDE, "accept_downloads": True} | options)
    page = context.new_page()
    problems: list[str] = []
    # The browser's own line on a request that is refused is no error of the page.
    page.on("console", lambda line: problems.append(line.text) if line.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: problems.append(request.url) if not _own(request.url, server) else None)
    page.goto(f"{server.url}/{address}")
    page.wait_for_selector("#model-body:not([hidden]), #key-form:not([hidden])")
    yield page
    assert not [line for line in problems if "Failed to load resource" not in line]
    context.close()


def _own(url: str, server: Process) -> bool:
    return url.startswith((server.url, "blob:", "data:"))


def answer_with(page: Any, ranked: Sequence[str] = ("biology", "law"), **fields: object) -> None:
    """Answer `/v1/classify` in the service's place: `ranked` by falling probability, and these fields."""
    shares = {label: 2.0 ** -(number + 1) for number, label in enumerate(ranked)}
    shares[ranked[0]] += 1 - sum(shares.values())

    def answer(route: Any) -> None:
        questions = route.request.post_data_json["questions"]
        result = {"label": ranked[0], "score": shares[ranked[0]], "scores": shares, "label_mass": 1.0, **fields}
        route.fulfill(json={"results": [{"question": text, **result} for text in questions]})

    page.route("**/v1/classify", answer)


def change_facts(page: Any, **fields: object) -> None:
    """Change what the service says about its model, from the next load of the page on."""

    def answer(route: Any) -> None:
        facts: Mapping[str, object] = route.fetch().json()
        route.fulfill(body=json.dumps({**facts, **fields}), content_type="application/json")

    page.route("**/v1/model", answer)
