"""The page in a browser, asking a real server."""

from __future__ import annotations

import csv
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers.browser import PHONE, answer_with, change_facts, open_page
from helpers.requirements import requires_browser
from helpers.serve_process import Process, running

pytestmark = requires_browser
QUESTION = "How does the enzyme change the membrane of a cell?"


@pytest.fixture(scope="module")
def server(tiny_model: Path) -> Iterator[Process]:
    with running("--model", tiny_model, "--sentences") as found:
        yield found


def classify(page: Any, question: str = QUESTION) -> None:
    page.fill("#question", question)
    page.click("#send")
    page.locator(".asked", has_text=question[:100]).wait_for()


def test_a_question_by_keyboard_alone(page: Any) -> None:
    assert page.evaluate("document.activeElement.id") == "question"
    page.keyboard.type(QUESTION)
    page.keyboard.press("Control+Enter")
    page.wait_for_selector(".reason:not([hidden])")
    names = page.locator("#answers .name").all_inner_texts()
    assert page.locator(".verdict").inner_text().startswith(names[0]) and len(names) == 4
    shares = [float(text.split()[0]) for text in page.locator("#answers .share").all_inner_texts()]
    assert shares == sorted(shares, reverse=True) and sum(shares) == pytest.approx(100, abs=0.3)
    assert page.locator(".marked").inner_text() == QUESTION
    assert names[0] in page.locator("#announce").inner_text(), "what a screen reader says"
    page.locator(".write").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(".sentence:not([hidden])")
    assert page.locator(".sentence").inner_text().startswith(f"This is {names[0]} because")
    page.locator("#minimum").focus()
    page.keyboard.press("End")
    assert page.locator("#minimum-shown").inner_text().split() == ["99", "%"]
    assert page.locator(".verdict").inner_text().startswith("Abstains") == (shares[0] < 99)
    assert page.locator("#answers .line").count() == 4


def test_examples_options_and_problems(page: Any) -> None:
    assert page.locator("#examples button").count() == 4, "those of the labels that the model has"
    page.locator("#examples button").first.click()
    page.wait_for_selector("#result:not([hidden])")
    page.locator("#options-box summary").click()
    page.fill("#question", "Which is it?")
    page.fill("#options", "a torque\na tort")
    page.locator("#options-box summary").click()
    assert "(2)" in page.locator("#options-box summary").inner_text(), "folded options are sent as well"
    with page.expect_request("**/v1/classify") as sent:
        page.click("#send")
    assert sent.value.post_data_json["questions"] == [{"text": "Which is it?", "options": ["a torque", "a tort"]}]
    page.locator(".marked-options li", has_text="a torque").wait_for()
    page.fill("#question", "  ")
    page.click("#send")
    assert page.locator("#problem").inner_text() == "Type a question first."
    page.fill("#question", "x" * 60_000)
    assert page.locator("#counter").inner_text() == "60,000 of 50,000 characters"
    page.click("#send")
    page.locator("#problem", has_text="characters").wait_for()
    assert page.locator("#result").is_hidden(), "no answer to another question stands beside the problem"


def test_an_answer_never_stands_under_another_question_unsaid(page: Any) -> None:
    classify(page)
    assert page.locator("#stale").is_hidden()
    page.fill("#question", f"{QUESTION} And then?")
    assert "before" in page.locator("#stale").inner_text()
    page.fill("#question", QUESTION)
    assert page.locator("#stale").is_hidden()


def test_slow_answers_and_none(page: Any) -> None:
    held: list[Any] = []
    page.route("**/v1/classify", lambda route: held.append(route))
    page.fill("#question", QUESTION)
    page.click("#send")
    page.locator("#waiting", has_text=re.compile(r"Classifying … [1-9] s")).wait_for()
    page.click("#cancel")
    assert page.locator("#cancel").is_hidden() and page.locator("#problem").is_hidden()
    page.unroute("**/v1/classify")
    page.route("**/v1/classify", lambda route: route.abort())
    page.click("#send")
    page.locator("#problem", has_text="cannot be reached").wait_for()
    page.unroute("**/v1/classify")
    page.click("#send")
    page.wait_for_selector("#result:not([hidden])")
    assert page.locator("#problem").is_hidden() and len(held) == 1


def test_the_address_of_a_question(page: Any, server: Process) -> None:
    classify(page, "Is this in an address?")
    classify(page, "Secretly, is this in a log?")
    address = page.url
    assert "#q=Secretly" in address
    page.go_back()
    page.locator(".asked", has_text="Is this in an address?").wait_for()
    assert page.input_value("#question") == "Is this in an address?"
    page.goto("about:blank")
    page.goto(address)
    page.locator(".asked", has_text="Secretly").wait_for()
    assert page.locator("#history-list button").count() == 2, "a reload loses nothing"
    assert not [line for line in server.log if "Secretly" in str(line)]
    page.click("#clear")
    assert page.url == f"{server.url}/" and page.locator("#result").is_hidden()


def test_two_questions_side_by_side(browser: Any, server: Process) -> None:
    with open_page(browser, server, "#q=What+is+a+torque%3F&vs=What+is+a+tort%3F&o=one&o=two") as page:
        page.wait_for_selector("#difference:not([hidden])")
        assert page.locator(".asked").all_inner_texts() == ["What is a torque?", "What is a tort?"]
        assert page.locator(".verdict").count() == 2 and "overlap" in page.locator("#difference").inner_text()
        assert page.input_value("#options") == "one\ntwo"
        boxes = [page.locator(".answer").nth(number).bounding_box() for number in (0, 1)]
        assert boxes[0]["y"] == boxes[1]["y"] and boxes[0]["x"] < boxes[1]["x"]
        page.click("#compare")
        page.click("#send")
        page.wait_for_selector("#difference", state="hidden")
        assert page.locator(".verdict").count() == 1


def test_what_the_model_does_not_know(browser: Any, server: Process) -> None:
    with open_page(browser, server) as page:
        change_facts(page, min_in_scope=0.2)
        page.reload()
        answer_with(page, ["biology", "law", "physics"], labels=["biology", "law"], in_scope=0.9, truncated=True)
        classify(page)
        notes = page.locator(".notes").inner_text()
        assert "its middle was cut out" in notes and "Close: law (25.0" in notes
        page.unroute("**/v1/classify")
        answer_with(page, ["law", "biology"], in_scope=0.01, answered_by="baseline:tfidf-svm")
        classify(page, "asdf qwer")
        assert "None of these?" in page.locator(".verdict").inner_text()
        assert "Probably none of these subjects" in page.locator(".notes").inner_text()
        assert "Answered by baseline:tfidf-svm." in page.locator(".notes").inner_text()
        assert "none of these" in page.locator("#history-list").inner_text()


def test_a_model_that_was_not_measured_is_not_called_calibrated(browser: Any, server: Process) -> None:
    with open_page(browser, server) as page:
        assert page.locator("#calibrated").is_visible()
        change_facts(page, measured={"validation": None, "test": []})
        page.reload()
        page.locator("#limits", has_text="do not take them for calibrated").wait_for()
        assert page.locator("#calibrated").is_hidden()
        assert "none of its labels" in page.locator("#limits").inner_text()


@pytest.mark.parametrize("options", [[], ['it\'s "a torque"', "a tort"]])
def test_commands_to_take_away_run(page: Any, options: list[str]) -> None:
    page.locator("#options-box summary").click()
    page.fill("#options", "\n".join(options))
    classify(page, 'What\'s "this" \\ called?')
    label = page.locator(".verdict").inner_text().split("\n")[0].split(",")[0]
    page.click("[data-snippet=python]")
    script = page.locator("#snippet").inner_text()
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert printed.startswith(label)
    page.click("[data-snippet=curl]")
    if shutil.which("curl"):
        command = ["sh", "-c", page.locator("#snippet").inner_text()]
        assert f'"label":"{label}"' in subprocess.run(command, capture_output=True, text=True, check=True).stdout
    page.click("[data-snippet=json]")
    assert '"label_mass"' in page.locator("#snippet").inner_text()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.click("#copy-link")
    page.locator("#copied", has_text="Link copied.").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == page.url


def test_labels_of_ones_own_are_kept_and_downloaded(page: Any) -> None:
    classify(page, "What is a torque?")
    page.locator(".truth").select_option("law")
    classify(page, "What is, really, a tort?")
    assert page.locator("#export").inner_text() == "Download 1 labelled question"
    page.reload()
    with page.expect_download() as started:
        page.click("#export")
    with Path(started.value.path()).open(newline="", encoding="utf-8-sig") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["question"], row["label"]) for row in rows] == [("What is a torque?", "law")]
    page.click("#forget")
    assert page.locator("#history").is_hidden()


def test_markup_in_a_question_is_text(page: Any) -> None:
    question = "<img src=x onerror=alert(1)> What is <b>this</b>?"
    classify(page, question)
    page.wait_for_selector(".reason:not([hidden])")
    assert page.locator(".marked").inner_text() == question and page.locator("#answers img").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_in_light_and_dark(browser: Any, server: Process, scheme: str) -> None:
    with open_page(browser, server, viewport=PHONE, color_scheme=scheme) as page:
        classify(page)
        page.wait_for_selector(".reason:not([hidden])")
        assert page.evaluate("document.documentElement.scrollWidth") <= 400, "nothing stands out to the right"
        assert page.locator(".verdict").bounding_box()["y"] < 700, "the answer is seen without scrolling"
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(18, 22, 31)"
        assert dark == (scheme == "dark")


def test_a_key_is_asked_for(browser: Any, tiny_model: Path) -> None:
    with running("--model", tiny_model, "--api-key", "secret-key") as guarded, open_page(browser, guarded) as page:
        page.fill("#key", "wrong")
        page.keyboard.press("Enter")
        page.locator("#key-problem", has_text="not accepted").wait_for()
        page.fill("#key", "secret-key")
        page.keyboard.press("Enter")
        page.wait_for_selector("#model-body:not([hidden])")
        page.reload()
        page.wait_for_selector("#model-body:not([hidden])")
        classify(page)
        page.wait_for_selector(".reason:not([hidden])")
        assert page.locator(".write").is_hidden(), "this server writes no sentences"
        page.click("[data-snippet=curl]")
        assert "$API_KEY" in page.locator("#snippet").inner_text()
        assert "secret-key" not in page.inner_text("body")
