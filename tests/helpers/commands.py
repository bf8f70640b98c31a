"""The command line, run within this process."""

from __future__ import annotations

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from subjectwise.cli.app import main


@dataclass
class Finished:
    """What a command left."""

    returncode: int
    stdout: str
    stderr: str


def run_command(*arguments: str | Path, stdin: str | bytes = "", encoding: str = "utf-8") -> Finished:
    """Run a command in this process, which spares each call the seconds that importing torch takes.

    Args:
        arguments: of the command.
        stdin: what it reads.
        encoding: of its standard output.
    """
    out, err = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline=""), io.StringIO()
    code: Any = 0
    data = stdin if isinstance(stdin, bytes) else stdin.encode()
    before, sys.stdin = sys.stdin, io.TextIOWrapper(io.BytesIO(data))
    try:
        with redirect_stdout(out), redirect_stderr(err):
            main([str(argument) for argument in arguments])
    except SystemExit as stop:
        code = stop.code
    finally:
        sys.stdin = before
    out.seek(0)
    return Finished(code or 0, out.read(), err.getvalue())


def refused(*arguments: str | Path, part: str) -> None:
    """Run a command that must end in one sentence with `part`."""
    finished = run_command(*arguments)
    assert finished.returncode != 0
    assert part in finished.stderr, finished.stderr
    assert "Traceback" not in finished.stderr
    lines = [line for line in finished.stderr.splitlines() if line.startswith("Error: ")]
    assert len(lines) == 1
