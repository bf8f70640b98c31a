"""What the page and the report are held to: accessibility by axe-core, size, speed, and pictures of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers.browser import PHONE, WIDE, answer_with, change_facts, open_page
from helpers.report_files import make_report, put
from helpers.requirements import requires_browser
from helpers.serve_process import Process, running
from subjectwise.evaluation.report.render_page import write_page

pytestmark = requires_browser
MOST_BYTES = 60_000
MOST_MILLISECONDS = 100
QUESTION = "How does the enzyme change the membrane of a cell?"

# Asks, and ends with the frame that shows the answer.
ASK_AND_SHOW = """() => new Promise((resolve) => {
    new MutationObserver((_, observer) => {
        observer.disconnect();
        requestAnimationFrame(() => setTimeout(resolve));
    }).observe(document.getElementById("answers"), { childList: true });
    document.getElementById("send").click();
})"""


@pytest.fixture(scope="module")
def server(tiny_model: Path) -> Iterator[Process]:
    with running("--model", tiny_model, "--sentences") as found:
        yield found


def check_accessible(page: Any, where: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    violations = Axe().run(page).response["violations"]
    assert not violations, (where, [(item["id"], [node["html"] for node in item["nodes"]]) for item in violations])


@pytest.mark.slow
@pytest.mark.parametrize(("viewport", "scheme"), [(WIDE, "light"), (PHONE, "dark")])
def test_axe_finds_nothing_on_the_page(
    browser: Any, server: Process, tmp_path: Path, viewport: dict[str, int], scheme: str
) -> None:
    file = tmp_path / "rows.csv"
    file.write_text(f"question\n{QUESTION}\n\n", encoding="utf-8")
    with open_page(browser, server, viewport=viewport, color_scheme=scheme) as page:
        check_accessible(page, "start")
        page.click("#compare")
        page.fill("#question", QUESTION)
        page.fill("#second", "What is a tort?")
        page.locator("#options-box summary").click()
        page.fill("#options", "negligence\ntheft")
        page.click("#send")
        page.locator(".reason:not([hidden])").nth(1).wait_for()
        page.locator(".write").first.click()
        page.wait_for_selector(".sentence:not([hidden])")
        page.locator(".truth").first.select_option("law")
        page.click("[data-snippet=json]")
        check_accessible(page, "two answers")
        page.set_input_files("#csv", file)
        page.click("#run")
        page.wait_for_selector("#download:not([hidden])")
        check_accessible(page, "a file")
        change_facts(page, min_in_scope=0.2)
        page.reload()
        answer_with(page, in_scope=0.01, truncated=True)
        page.fill("#question", "asdf qwer")
        page.click("#send")
        page.wait_for_selector(".doubtful")
        page.fill("#question", "another")
        check_accessible(page, "a doubtful answer to another question")
        page.goto(f"{server.url}/docs")
        check_accessible(page, "the HTTP interface")


@pytest.mark.parametrize(("viewport", "scheme"), [(WIDE, "light"), (PHONE, "dark")])
def test_axe_finds_nothing_on_the_report(browser: Any, tmp_path: Path, viewport: dict[str, int], scheme: str) -> None:
    put(tmp_path / "main", make_report())
    put(tmp_path / "unseen", make_report(protocol="source-held-out", skill=2.5))
    written = write_page(tmp_path, main="main").page
    context = browser.new_context(viewport=viewport, color_scheme=scheme)
    page = context.new_page()
    page.goto(written.as_uri())
    check_accessible(page, "the report")
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    context.close()


def test_the_page_is_small(browser: Any, server: Process) -> None:
    with open_page(browser, server) as page:
        # What travels, headers included, with what the service says about its model.
        loaded = page.evaluate(
            "performance.getEntries().filter((e) => e.transferSize).map((e) => [e.name, e.transferSize])"
        )
        names = [name.rpartition("/")[2] for name, _ in loaded]
        assert {"", "page.js", "page.css", "table.js", "model"} <= set(names)
        assert sum(size for _, size in loaded) < MOST_BYTES, loaded


def test_an_answer_is_shown_at_once(browser: Any, server: Process) -> None:
    with open_page(browser, server) as page:
        # In time of the page's own thread: what other processes of this machine take does not count.
        chromium = page.context.new_cdp_session(page)
        chromium.send("Performance.enable", {"timeDomain": "threadTicks"})

        def worked() -> float:
            metrics = chromium.send("Performance.getMetrics")["metrics"]
            return next(float(metric["value"]) for metric in metrics if metric["name"] == "TaskDuration")

        page.fill("#question", QUESTION)
        before = worked()
        page.evaluate(ASK_AND_SHOW)
        assert 0 < 1000 * (worked() - before) < MOST_MILLISECONDS
