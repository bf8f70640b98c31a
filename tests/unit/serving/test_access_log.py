from __future__ import annotations

import json
import logging
import subprocess
import sys

import pytest

from subjectwise.serving.access_log import LOGGER, JsonLines


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
