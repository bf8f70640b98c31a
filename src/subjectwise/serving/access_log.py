"""The log: one JSON object per line on standard error. Knows no questions; callers decide what a line has."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime

LOGGER = "subjectwise.serving"
REQUEST = "request"  # the event of the access log


class JsonLines(logging.Formatter):
    """Formats a record as one line of JSON; `extra={"fields": {...}}` adds to it.

    Of an exception the line has the type and the code lines, not the message, which may quote a question.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[0]:
            line["exception"] = record.exc_info[0].__name__
            line["at"] = [part.strip().split("\n")[0] for part in traceback.format_tb(record.exc_info[2])[-6:]]
        return json.dumps(line, ensure_ascii=True, default=str)


def log_to_stderr(quiet: bool = False) -> None:
    """Log the server and the libraries below it to standard error; if `quiet`, without a line per request."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    # On the root logger, so that what a library logs is a line of JSON too.
    logging.getLogger().addHandler(handler)
    logger = logging.getLogger(LOGGER)
    logger.setLevel(logging.INFO)
    if quiet:
        logger.addFilter(lambda record: record.getMessage() != REQUEST)
