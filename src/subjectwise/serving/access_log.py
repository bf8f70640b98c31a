"""The log: one JSON object per line on standard error. Knows no questions; callers decide what a line has."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import sys
import traceback
from collections.abc import Iterator
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


class LoggedStream(io.TextIOBase):
    """A text stream whose lines become lines of the log, such as what a library prints while a model is loaded.

    Args:
        logger: logs them as the event `output`.
    """

    def __init__(self, logger: logging.Logger) -> None:
        super().__init__()
        self._logger = logger
        self._line = ""

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, text: str) -> int:
        """Take a part of a line; a progress bar that redraws itself is logged as it was in the end."""
        *lines, rest = (self._line + text).split("\n")
        for line in lines:
            if shown := line.rstrip("\r").rpartition("\r")[2].strip():
                self._logger.info("output", extra={"fields": {"text": shown}})
        self._line = rest.rpartition("\r")[2] if not rest.endswith("\r") else rest
        return len(text)


@contextlib.contextmanager
def captured_output(stdout: bool = True) -> Iterator[None]:
    """Log what is printed to standard error, and to standard output unless that is for something else."""
    stream = LoggedStream(logging.getLogger(LOGGER))
    with contextlib.redirect_stderr(stream), contextlib.redirect_stdout(stream) if stdout else contextlib.nullcontext():
        yield


def log_to_stderr(quiet: bool = False) -> None:
    """Log the server and the libraries below it to standard error; if `quiet`, without a line per request."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    # On the root logger, so that what a library logs is a line of JSON too.
    root = logging.getLogger()
    for other in list(root.handlers):
        if isinstance(other.formatter, JsonLines):
            root.removeHandler(other)
    root.addHandler(handler)
    logging.getLogger(LOGGER).setLevel(logging.INFO)
    if quiet:
        handler.addFilter(lambda record: record.getMessage() != REQUEST)
