"""What long work says of itself on standard error."""

from __future__ import annotations

import io
import sys

import pytest

from subjectwise.utils import progress
from subjectwise.utils.progress import progress_bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def work(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, hidden: bool = False) -> str:
    monkeypatch.setattr(sys, "stderr", stream)
    with progress_bar("Reading", 8, "rows", done=2, hidden=hidden) as bar:
        for _ in range(3):
            bar.update(2)
    return stream.getvalue()


def test_a_log_gets_whole_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SECONDS", 0.0)
    written = work(monkeypatch, io.StringIO())
    lines = written.splitlines()
    assert [line.split(" in ")[0] for line in lines[-3:]] == [f"Reading: {done} of 8 rows" for done in (4, 6, 8)]
    assert all(line.endswith("to go") for line in lines) and "\r" not in written


def test_short_work_leaves_nothing_in_a_log(monkeypatch: pytest.MonkeyPatch) -> None:
    assert work(monkeypatch, io.StringIO()) == ""


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    written = work(monkeypatch, Terminal())
    assert "\rReading: " in written and "8/8" in written
    assert work(monkeypatch, Terminal(), hidden=True) == ""
