"""A server as a process of its own, its address and its log."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

OWN = ("--device", "cpu", "--dtype", "float32")
COMMAND = [sys.executable, "-m", "subjectwise.cli.app"]


class Process:
    """A running server, the lines of its log, and its address."""

    def __init__(self, *options: str | Path, environment: Mapping[str, str] | None = None) -> None:
        arguments = [*COMMAND, "serve", "--port", "0", *OWN, *map(str, options)]
        self.process = subprocess.Popen(
            arguments, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})},
        )  # fmt: skip
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
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            found = [line for line in self.log if line["event"] == event]
            if len(found) >= count:
                return found[count - 1]
            assert self.process.poll() is None or self._reader.is_alive(), self.log
            time.sleep(0.01)
        raise AssertionError(f"no {event!r} in {self.log}")

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(30)
        self._reader.join(5)
        return code


@contextmanager
def running(*options: str | Path, environment: Mapping[str, str] | None = None) -> Iterator[Process]:
    server = Process(*options, environment=environment)
    try:
        yield server
    finally:
        server.process.kill()
        server.process.wait()
