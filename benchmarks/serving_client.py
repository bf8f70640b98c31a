"""A server as a process and clients of its own, with as little work of theirs as it takes to ask. For serving.py."""

from __future__ import annotations

import asyncio
import json
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from subjectwise.records import Prediction

# Of a score, since batches of other sizes round differently: what tests/test_embedded.py allows bfloat16.
TOLERANCE = {"float32": 1e-3, "auto": 0.1}


class Server:
    """`subjectwise serve` as a process, its log, and its memory."""

    def __init__(self, model: str, dtype: str) -> None:
        self.tolerance = TOLERANCE[dtype]
        arguments = ["serve", "--model", model, "--dtype", dtype, "--port", "0"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "subjectwise.cli.app", *arguments], stderr=subprocess.PIPE, text=True
        )
        self.requests: dict[str, int] = {}
        self.events: Counter[str] = Counter()
        self.address = ("127.0.0.1", 0)
        self._ready = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if not self._ready.wait(300):
            raise SystemExit("The server did not start.")

    def _read(self) -> None:
        assert self.process.stderr is not None
        for text in self.process.stderr:
            line = json.loads(text)
            self.events[line["event"]] += 1
            if line["event"] == "ready":
                host, _, port = line["address"].removeprefix("http://").rpartition(":")
                self.address = (host, int(port))
                self._ready.set()
            elif line["event"] == "request" and line["request_id"].startswith("end-"):
                self.requests[line["request_id"]] = line["status"]

    def megabytes(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(120)
        self._reader.join(10)
        return code


@dataclass
class Reply:
    status: int
    body: bytes
    seconds: float


class Connection:
    """One kept-alive connection, used by one client."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, path: str, body: bytes, request_id: str = "", kind: str = "application/json") -> Reply:
        """The reply; ConnectionError where there is none."""
        started = time.perf_counter()
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self.address)
        reader, writer = self._streams
        identity = f"X-Request-ID: {request_id}\r\n" if request_id else ""
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\n{identity}"
        head += f"Content-Length: {len(body)}\r\n"
        try:
            writer.write(head.encode() + b"\r\n" + body)
            answer = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(answer.split(b"content-length: ")[1].split(b"\r\n")[0])
            content = await reader.readexactly(length)
        except (OSError, EOFError, asyncio.LimitOverrunError) as error:
            self.close()
            raise ConnectionError(type(error).__name__) from error
        if b"connection: close" in answer:
            self.close()
        return Reply(int(answer.split(b" ")[1]), content, time.perf_counter() - started)

    def close(self) -> None:
        if self._streams:
            self._streams[1].close()
        self._streams = None


@dataclass
class Seen:
    """What clients saw, and the good answers beside those of `classify`."""

    tolerance: float
    statuses: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    compared: int = 0
    wrong: int = 0
    other_label: int = 0
    largest: float = 0.0

    def compare(self, scores: dict[str, float], expected: Prediction) -> None:
        self.compared += 1
        off = max(abs(scores.get(label, 9.0) - score) for label, score in expected.scores.items())
        self.largest = max(self.largest, off)
        self.wrong += off > self.tolerance
        self.other_label += max(scores, key=scores.__getitem__) != expected.label

    def latency(self) -> dict[str, float]:
        cuts = statistics.quantiles(self.seconds, n=100)
        return {"p50": cuts[49], "p99": cuts[98], "max": max(self.seconds)}
