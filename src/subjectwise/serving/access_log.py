"""The log: one JSON object a line on stderr. Knows no questions; those who log decide what is in a line."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime


class JsonLines(logging.Formatter):
    """A record as one line. `extra={"fields": {...}}` adds to it.

    An exception is told by its kind and where it came from, without its message, which may quote a question.
    """

    def format(self, record: logging.LogRecord) -> str:
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
    """Sends what the server and the libraries below it have to say to stderr; if `quiet`, no line a request."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    # On the root, so that whatever a library has to say is a line of JSON too.
    logging.getLogger().addHandler(handler)
    logger = logging.getLogger("subjectwise.serving")
    logger.setLevel(logging.INFO)
    if quiet:
        logger.addFilter(lambda record: record.getMessage() != "request")
