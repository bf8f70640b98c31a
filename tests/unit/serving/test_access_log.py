from __future__ import annotations

import json
import logging
import subprocess
import sys
from typing import Any

import pytest
from tqdm import tqdm

from subjectwise.serving.access_log import LOGGER, JsonLines, LoggedStream, captured_output


def line_of(record: logging.LogRecord) -> dict[str, object]:
    text = JsonLines().format(record)
    assert "\n" not in text and text.isascii()
    parsed: dict[str, object] = json.loads(text)
    return parsed


def test_a_record_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger(LOGGER)
    with caplog.at_level(logging.INFO):
        logger.info("two\nlines %s", "é", extra={"fields": {"status": 200}})
        try:
            raise ValueError("secret question")
        except ValueError as error:
            logger.error("failed", exc_info=error)
    plain, failed = map(line_of, caplog.records)
    assert (plain["event"], plain["status"], plain["level"]) == ("two\nlines é", 200, "info")
    assert failed["exception"] == "ValueError" and "test_access_log" in str(failed["at"])
    assert "secret" not in json.dumps(failed)


@pytest.mark.parametrize(("quiet", "events"), [(False, ["request", "ready", "below"]), (True, ["ready", "below"])])
def test_the_log_goes_to_standard_error(quiet: bool, events: list[str]) -> None:
    code = (
        "import logging; from subjectwise.serving.access_log import log_to_stderr\n"
        f"log_to_stderr({quiet})\n"
        "own = logging.getLogger('subjectwise.serving')\n"
        "own.info('request'); own.info('ready'); own.debug('detail')\n"
        "logging.getLogger('library').warning('below'); logging.getLogger('library').info('chatter')\n"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert [json.loads(line)["event"] for line in finished.stderr.splitlines()] == events


def test_what_is_printed_becomes_lines_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), captured_output():
        print("one line\nand another")
        print("to the other stream", file=sys.stderr)
        for done in range(3):
            print(f"\rLoading: {done}/2", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
        print("half a ", end="")
        print("line")
    texts = [line_of(record)["text"] for record in caplog.records]
    assert texts == ["one line", "and another", "to the other stream", "Loading: 2/2", "half a line"]
    assert {record.getMessage() for record in caplog.records} == {"output"}


def test_standard_output_may_be_for_something_else(caplog: pytest.LogCaptureFixture, capsys: Any) -> None:
    with caplog.at_level(logging.INFO), captured_output(stdout=False):
        print("a protocol")
    assert not caplog.records and capsys.readouterr().out == "a protocol\n"


def test_a_progress_bar_is_logged_as_it_was_in_the_end(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        stream = LoggedStream(logging.getLogger(LOGGER))
        for _ in tqdm(range(100), file=stream, mininterval=0):
            pass
    assert len(caplog.records) == 1 and "100/100" in str(line_of(caplog.records[0])["text"])
