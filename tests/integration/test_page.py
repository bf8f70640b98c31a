"""The page in a browser, asking a real server."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers.requirements import find_browser, requires_browser
from helpers.serve_process import Process, running

pytestmark = requires_browser
QUESTION = "How does the enzyme change the membrane of a cell?"


@pytest.fixture(scope="module")
def server(tiny_model: Path) -> Iterator[Process]:
    with running("--model", tiny_model, "--sentences") as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        found = started.chromium.launch(executable_path=find_browser(), args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def page(browser: Any, server: Process) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    found = context.new_page()
    problems: list[str] = []
    # The browser's own line on a request that is refused is no error of the page.
    found.on("console", lambda line: problems.append(line.text) if line.type == "error" else None)
    found.on("pageerror", lambda error: problems.append(str(error)))
    found.on("request", lambda request: problems.append(request.url) if not _own(request.url, server) else None)
    found.goto(server.url)
    found.wait_for_selector("#examples button")
    yield found
    assert not [line for line in problems if "Failed to load resource" not in line]
    context.close()


def _own(url: str, server: Process) -> bool:
    return url.startswith((server.url, "blob:", "data:"))


def test_a_question_by_keyboard_alone(page: Any) -> None:
    assert page.evaluate("document.activeElement.id") == "question"
    page.keyboard.type(QUESTION)
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("#reason:not([hidden])")
    names = page.locator("#bars .name").all_inner_texts()
    assert page.locator("#verdict").inner_text().startswith(names[0]) and len(names) == 4
    shares = [float(text.split()[0]) for text in page.locator("#bars .share").all_inner_texts()]
    assert shares == sorted(shares, reverse=True) and sum(shares) == pytest.approx(100, abs=0.3)
    assert page.locator("#marked").inner_text() == QUESTION
    page.locator("#write").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#sentence:not([hidden])")
    assert page.locator("#sentence").inner_text().startswith(f"This is {names[0]} because")
    page.locator("#minimum").focus()
    page.keyboard.press("End")
    assert page.locator("#minimum-shown").inner_text() == "99 %"
    assert page.locator("#verdict").inner_text().startswith("Abstains") == (shares[0] < 99)
    assert page.locator("#bars .line").count() == 4


def test_examples_options_and_problems(page: Any) -> None:
    assert page.locator("#examples button").count() == 4, "those of the labels that the model has"
    page.locator("#examples button").first.click()
    page.wait_for_selector("#answer:not([hidden])")
    page.locator("#options-box summary").click()
    page.fill("#question", "Which is it?")
    page.fill("#options", "a torque\na tort")
    with page.expect_request("**/v1/classify") as sent:
        page.click("#send")
    assert sent.value.post_data_json["questions"] == [{"text": "Which is it?", "options": ["a torque", "a tort"]}]
    page.fill("#question", "  ")
    page.click("#send")
    assert page.locator("#problem").inner_text() == "Type a question first."
    page.fill("#question", "x" * 60_000)
    page.click("#send")
    page.locator("#problem", has_text="characters").wait_for()


def test_a_file_comes_back_with_its_subjects(page: Any, tmp_path: Path) -> None:
    rows = [["id", "Question"], *([str(number), f'{QUESTION} No. {number}, "so",\nto say'] for number in range(70))]
    rows.insert(40, ["empty", " "])
    file = tmp_path / "rows.csv"
    with file.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows(rows)
    page.set_input_files("#csv", file)
    page.wait_for_selector("#file-controls:not([hidden])")
    assert page.locator("#column").input_value() == "1", "found by its name"
    page.click("#run")
    page.wait_for_selector("#download:not([hidden])")
    assert page.locator("#file-state").inner_text() == "All 71 rows are classified."
    with page.expect_download() as started:
        page.click("#download")
    assert started.value.suggested_filename == "rows-subjects.csv"
    with Path(started.value.path()).open(newline="", encoding="utf-8-sig") as stream:
        found = list(csv.reader(stream))
    assert found[0] == ["id", "Question", "subject", "probability", "best_subject", "note"]
    assert [row[:2] for row in found] == rows
    assert found[40][2] == "" and "empty" in found[40][5]
    assert all(row[2] and 0 < float(row[3]) <= 1 for number, row in enumerate(found) if number not in (0, 40))


def test_a_file_that_cannot_be_read(page: Any, tmp_path: Path) -> None:
    for text, part in (("only a head\n", "no rows"), ('a,b\n"open', "not closed")):
        file = tmp_path / "bad.csv"
        file.write_text(text, encoding="utf-8")
        page.set_input_files("#csv", file)
        page.locator("#file-state", has_text=part).wait_for()
        assert page.locator("#file-controls").is_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_in_light_and_dark(browser: Any, server: Process, scheme: str) -> None:
    context = browser.new_context(viewport={"width": 400, "height": 800}, color_scheme=scheme)
    page = context.new_page()
    page.goto(server.url)
    page.fill("#question", QUESTION)
    page.click("#send")
    page.wait_for_selector("#reason:not([hidden])")
    assert page.evaluate("document.documentElement.scrollWidth") <= 400, "nothing stands out to the right"
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(18, 22, 31)"
    assert dark == (scheme == "dark")
    context.close()


def test_a_key_is_asked_for(browser: Any, tiny_model: Path) -> None:
    with running("--model", tiny_model, "--api-key", "secret-key") as guarded:
        page = browser.new_page()
        page.goto(guarded.url)
        page.wait_for_selector("#key-row:not([hidden])")
        page.fill("#key", "secret-key")
        page.keyboard.press("Tab")
        page.locator("#model-name", has_text="labels").wait_for()
        page.close()
