"""Files of questions on the page, and the reading of tables in the browser."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers.browser import answer_with
from helpers.requirements import requires_browser
from helpers.serve_process import Process, running

pytestmark = requires_browser
QUESTION = "How does the enzyme change the membrane of a cell?"


@pytest.fixture(scope="module")
def server(tiny_model: Path) -> Iterator[Process]:
    with running("--model", tiny_model) as found:
        yield found


# In the service's place: answers at once, but for one request after 3,200 rows.
# Clicks Stop as soon as the page says how long the rest will take: a click from outside may come when all is done.
STOP_MIDWAY = """
const state = document.querySelector("#file-state");
new MutationObserver((_, watcher) => {
  if (state.textContent.includes("about")) {
    watcher.disconnect();
    document.querySelector("#stop").click();
  }
}).observe(state, {childList: true, subtree: true, characterData: true});
"""

OUTAGE = """() => {
    let asked = 0;
    const respond = (status, body) => new Response(JSON.stringify(body), { status });
    window.fetch = async (path, { body, signal }) => {
        await new Promise((resolve) => setTimeout(resolve));
        signal.throwIfAborted();
        if (asked++ === 100) return respond(503, { error: "The server is stopping; ask again later." });
        const { questions } = JSON.parse(body);
        const scores = { biology: 0.75, law: 0.25 };
        return respond(200, { results: questions.map(() => ({ label: "biology", score: 0.75, scores })) });
    };
}"""


def download(page: Any) -> list[list[str]]:
    with page.expect_download() as started:
        page.click("#download")
    assert started.value.suggested_filename == "rows-subjects.csv"
    with Path(started.value.path()).open(newline="", encoding="utf-8-sig") as stream:
        return list(csv.reader(stream))


def test_a_file_comes_back_with_its_subjects(page: Any, tmp_path: Path) -> None:
    rows = [["id", "Question", "note"], *([str(n), f'{QUESTION} No. {n}, "so",\nto say', "=1+1"] for n in range(70))]
    rows.insert(40, ["empty", " ", ""])
    rows.insert(50, ["long", "x" * 60_000, ""])
    file = tmp_path / "rows.csv"
    with file.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows(rows)
    page.set_input_files("#csv", file)
    page.wait_for_selector("#file-controls:not([hidden])")
    assert page.locator("#column").input_value() == "1", "found by its name"
    assert page.locator("#preview tbody tr").count() == 5 and QUESTION in page.locator("#preview").inner_text()
    page.click("#run")
    page.wait_for_selector("#download:not([hidden])")
    state = "70 of 72 rows are classified; 2 could not be, and the column note says why."
    assert page.locator("#file-state").inner_text() == state
    assert sum(int(text) for text in page.locator("#summary .share").all_inner_texts()) == 70
    assert "x" * 200 not in page.locator("#preview").inner_text()
    found = download(page)
    assert found[0] == ["id", "Question", "note", "subject", "probability", "best_subject", "note_answered"]
    assert [row[:2] for row in found] == [row[:2] for row in rows]
    assert found[1][2] == "'=1+1", "a spreadsheet runs no formula of the file"
    assert found[40][3] == "" and "empty" in found[40][6] and "characters" in found[50][6]
    assert all(row[3] and 0 < float(row[4]) <= 1 for number, row in enumerate(found) if number not in (0, 40, 50))


@pytest.mark.slow  # 12 s on a busy machine
def test_ten_thousand_rows_with_a_pause_and_an_outage(page: Any, tmp_path: Path) -> None:
    file = tmp_path / "rows.txt"
    file.write_text("".join(f"{QUESTION} No. {number}\n" for number in range(10_000)), encoding="utf-8")
    page.set_input_files("#csv", file)
    assert "10,000 rows, one question per line" in page.locator("#file-state", has_text="rows").inner_text()
    page.evaluate(OUTAGE)
    page.click("#run")
    page.locator("#file-state", has_text="ask again later. 3,200 of 10,000 rows are classified.").wait_for()
    assert page.locator("#continue").inner_text() == "Go on with the other 6,800 rows"
    page.evaluate(STOP_MIDWAY)
    page.click("#continue")
    page.locator("#file-state", has_text="Stopped.").wait_for()
    assert 3200 <= len(download(page)) - 1 < 10_000, "what was answered can be had"
    page.click("#continue")
    page.locator("#file-state", has_text="All 10,000 rows are classified.").wait_for(timeout=60_000)
    found = download(page)
    assert len(found) == 10_001 and found[-1][0].endswith("No. 9999") and found[-1][1] == "biology"


def test_a_file_without_a_key_is_not_called_classified(page: Any, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("question\nWhat is a tort?\nWhat is a torque?\n", encoding="utf-8")
    page.route("**/v1/classify", lambda route: route.fulfill(status=401, json={"error": "Give an API key."}))
    page.set_input_files("#csv", file)
    page.click("#run")
    page.locator("#file-state", has_text="needs an API key. 0 of 2 rows are classified.").wait_for()
    assert page.locator("#download").is_hidden() and page.locator("#key").is_visible()
    page.unroute("**/v1/classify")
    page.click("#continue")
    page.locator("#file-state", has_text="All 2 rows are classified.").wait_for()


def test_the_first_line_and_the_threshold_are_the_readers_choice(page: Any, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("What is a tort?\nWhat is a torque?\n", encoding="utf-8")
    page.set_input_files("#csv", file)
    page.locator("#run", has_text="Classify 2 rows").wait_for()
    page.locator("#has-head").check()
    page.locator("#run", has_text="Classify 1 row").wait_for()
    page.locator("#has-head").uncheck()
    answer_with(page)
    page.fill("#file-minimum", "60")
    with page.expect_request("**/v1/classify") as sent:
        page.click("#run")
    assert sent.value.post_data_json["min_confidence"] == 0.6
    page.wait_for_selector("#download:not([hidden])")
    assert download(page)[0] == ["column 1", "subject", "probability", "best_subject", "note"]


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"question\n", "no rows"),
        (b'a,b\n"open', "not closed"),
        (b"%PDF-1.7 ...", "not a text file"),
        (b"PK\x03\x04 ...", "not a text file"),
        (b"a\x00b\x01", "not a text file"),
        (b"", "empty"),
        (b'{"question": "one"}\n{"question"', "Line 2 is not JSON"),
    ],
)
def test_a_file_that_cannot_be_read(page: Any, tmp_path: Path, content: bytes, part: str) -> None:
    file = tmp_path / "bad.csv"
    file.write_bytes(content)
    page.set_input_files("#csv", file)
    page.locator("#file-state", has_text=part).wait_for()
    assert page.locator("#file-controls").is_hidden()


TABLES = [
    ("a.csv", "id;question\n1;Is it, then?\n2;Was it?\n", ["id", "question"], ["1", "Is it, then?"]),
    ("a.csv", "id\tquestion\n1\tIs it?\n", ["id", "question"], ["1", "Is it?"]),
    ("a.csv", "id|question\n1|Is it?\n", ["id", "question"], ["1", "Is it?"]),
    ("a.csv", "question\nIs it, then, a tort?\nOr so?\n", ["question"], ["Is it, then, a tort?"]),
    ("a.csv", "Is it a tort?\nOr not?\n", None, ["Is it a tort?"]),
    ("a.csv", "question,id\nIs it?,1,extra\nWas it?,2\n\n", ["question", "id", ""], ["Is it?", "1", "extra"]),
    ("a.csv", "text,text\nIs it?,Was it?\n", ["text", "text"], ["Is it?", "Was it?"]),
    ("a.csv", "\ufefftext,id\r\nIs it?,1\r\n", ["text", "id"], ["Is it?", "1"]),
    ("a.txt", '"Quoted" is it?\n"Open\n', None, ['"Quoted" is it?']),
    ("a.jsonl", '{"text": "Is it?", "n": 1}\n{"text": "Was it?"}\n', ["text", "n"], ["Is it?", "1"]),
    ("a.json", '["Is it?"]', ["question"], ["Is it?"]),
]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_tables_are_read_as_they_are_meant(page: Any, encoding: str) -> None:
    for name, text, head, first in TABLES:
        data = list(text.encode(encoding))
        read = 'async ([n, d]) => (await import("/page/table.js")).readTable(n, new Uint8Array(d))'
        table = page.evaluate(read, [name, data])
        assert table["hasHead"] == (head is not None), text
        assert table["lines"][: 2 if head else 1] == ([head, first] if head else [first]), text
    read = 'async (d) => (await import("/page/table.js")).readTable("a.csv", new Uint8Array(d))'
    windows = page.evaluate(read, list("question\nWas ist „Größe“?\n".encode("windows-1252")))
    assert windows["lines"][1] == ["Was ist „Größe“?"] and windows["encoding"] == "windows-1252"
