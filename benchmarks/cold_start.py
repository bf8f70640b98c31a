"""Measures cold starts: seconds and peak memory of one command, from the start of its process to its end.

    python benchmarks/cold_start.py [--runs 10] [--engine openvino pytorch]

Prints one JSON object. `first` starts with an empty cache of compiled models and converted bases, the others with a
full one; the hash of the embedded weights is computed again in `first` too. The files are in the system's page cache,
except after a restart of the machine. Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from subjectwise.types import JsonObject
from subjectwise.utils.versions import library_versions, machine_description

QUESTION = "What is a tort?"
PROGRAM = [sys.executable, "-m", "subjectwise.cli.app"]

# Runs one command as its only child, so that the peak of the children is that of the command.
_MEASURE = """
import json, resource, subprocess, sys, time
started = time.perf_counter()
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
seconds = time.perf_counter() - started
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([done.returncode, seconds, usage.ru_maxrss * 1024, usage.ru_utime + usage.ru_stime, done.stderr]))
"""


def measure(command: Sequence[str], environment: Mapping[str, str]) -> JsonObject:
    """Run a command; return its seconds, its processor's seconds and its peak memory in bytes."""
    text = subprocess.run(
        [sys.executable, "-c", _MEASURE, *command], env=dict(environment), capture_output=True, text=True, check=True
    ).stdout
    code, seconds, peak, processor, errors = json.loads(text)
    if code:
        sys.exit(f"{' '.join(command)} failed: {errors}")
    return {"seconds": seconds, "processor_seconds": processor, "peak_bytes": peak}


def repeated(command: Sequence[str], environment: Mapping[str, str], runs: int) -> JsonObject:
    """Return medians of several runs, and the slowest."""
    measured = [measure(command, environment) for _ in range(runs)]
    medians = {name: statistics.median(run[name] for run in measured) for name in measured[0]}
    return {**medians, "slowest": max(run["seconds"] for run in measured), "runs": runs}


def serve_ready(engine: str, environment: Mapping[str, str]) -> JsonObject:
    """Return the seconds until `subjectwise serve` answers that it is healthy, and its peak memory then."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = time.perf_counter()
    server = subprocess.Popen(
        [*PROGRAM, "serve", "--engine", engine, "--port", str(port)],
        env=dict(environment), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        while time.perf_counter() - started < 120:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1) as answer:
                    if answer.status == 200:
                        break
            except OSError:
                time.sleep(0.02)
        seconds = time.perf_counter() - started
        status = Path(f"/proc/{server.pid}/status")
        peak = (
            next(
                (int(line.split()[1]) * 1024 for line in status.read_text().splitlines() if line.startswith("VmHWM")), 0
            )
            if status.exists()
            else 0
        )
        return {"seconds": seconds, "peak_bytes": peak}
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(timeout=60)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--engine", nargs="*", default=["openvino", "pytorch"])
    arguments = parser.parse_args()
    results: JsonObject = {"--help": repeated([*PROGRAM, "--help"], os.environ, arguments.runs)}
    for engine in arguments.engine:
        with tempfile.TemporaryDirectory() as cache:
            environment = {**os.environ, "SUBJECTWISE_CACHE": cache}
            classify = [*PROGRAM, "classify", QUESTION, "--engine", engine]
            explain = [*PROGRAM, "explain", QUESTION, "--engine", engine]
            results[engine] = {
                "first": measure(classify, environment),
                "classify": repeated(classify, environment, arguments.runs),
                "explain, first": measure([*explain, "--sentence"], environment),
                "explain": repeated([*explain, "--sentence"], environment, max(arguments.runs // 3, 1)),
                "serve": serve_ready(engine, environment),
            }
    about = {"machine": machine_description(), "versions": library_versions()}
    json.dump({**about, "page_size": resource.getpagesize(), "results": results}, sys.stdout, indent=2)


if __name__ == "__main__":
    main()
