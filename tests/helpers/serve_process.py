"""A server as a process of its own, its address and its log."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

OWN = ("--device", "cpu", "--dtype", "float32")
COMMAND = [sys.executable, "-m", "subjectwise.cli.app"]


class Process:
    """A running server, the lines of its log, and its address.

    Args:
        options: of `subjectwise serve`.
        environment: added to that of the tests.
        before: a command that runs the one that follows it.
    """

    def __init__(
        self, *options: str | Path, environment: Mapping[str, str] | None = None, before: Sequence[str] = ()
    ) -> None:
        arguments = [*before, *COMMAND, "serve", "--port", "0", *OWN, *map(str, options)]
        self.process = subprocess.Popen(
            arguments, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=_environment(environment or {})
        )
        self.log: list[dict[str, Any]] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.url = str(self.wait_for("ready")["address"])

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            try:
                self.log.append(json.loads(line))
            except ValueError:
                self.log.append({"event": "not JSON", "line": line})

    def wait_for(self, event: str, count: int = 1) -> dict[str, Any]:
        """The line of the log with the `count`th event of that name."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            lines = [line for line in self.log if line["event"] == event]
            if len(lines) >= count:
                return lines[count - 1]
            assert self.process.poll() is None or self._reader.is_alive(), self.log
            time.sleep(0.01)
        raise AssertionError(f"no {event!r} in {self.log}")

    def stop(self) -> int:
        """End the process with SIGTERM; return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(30)
        self._reader.join(5)
        return code

    @staticmethod
    @contextmanager
    def stdio(*arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
        """A command that is asked on standard input."""
        process = subprocess.Popen(
            [*COMMAND, *map(str, arguments), *OWN], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True, env=_environment({}),
        )  # fmt: skip
        try:
            yield process
        finally:
            process.kill()
            process.wait()


@contextmanager
def running(
    *options: str | Path, environment: Mapping[str, str] | None = None, before: Sequence[str] = ()
) -> Iterator[Process]:
    """A server that ends with the block."""
    server = Process(*options, environment=environment, before=before)
    try:
        yield server
    finally:
        server.process.kill()
        server.process.wait()


def _environment(added: Mapping[str, str]) -> dict[str, str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for name, value in added.items():
        # Of PYTHONPATH, the rest is needed as well.
        both = name == "PYTHONPATH" and name in environment
        environment[name] = f"{value}{os.pathsep}{environment[name]}" if both else value
    return environment
