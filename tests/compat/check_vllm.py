"""Check that vLLM answers as the classifier does with the exported shipped adapter.

    make compat-vllm

`check_vllm.py PYTHON [MODEL]` runs in the current environment: it exports the shipped adapter (or MODEL), has `PYTHON`,
whose environment has vLLM, serve the folder (`vllm serve DIR --runner pooling`), and asks `/classify`. At least 99.5 %
of the labels must be equal, in bfloat16.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path

import numpy as np

from subjectwise.models.devices import Compute
from subjectwise.models.model_config import read_config
from subjectwise.models.model_folder import load_model, shipped_folder
from subjectwise.publish.export import export_model
from subjectwise.records import Question
from subjectwise.statistics.calibration import apply_temperature

QUESTIONS = Path(__file__).parent.parent.parent / "data" / "short_questions_test.jsonl"
ADDRESS = "http://127.0.0.1:8123"
PATIENCE = 900.0  # seconds until the server must answer
ENOUGH = 0.995


def post(path: str, body: object) -> dict[str, list[dict[str, list[float]]]]:
    request = urllib.request.Request(  # noqa: S310  # an address of this file
        f"{ADDRESS}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=600) as response:  # noqa: S310
        answer: dict[str, list[dict[str, list[float]]]] = json.load(response)
    return answer


def wait_for(server: subprocess.Popen[bytes]) -> None:
    started = time.monotonic()
    while time.monotonic() - started < PATIENCE:
        if server.poll() is not None:
            sys.exit(f"vLLM ended with exit code {server.returncode}.")
        try:
            urllib.request.urlopen(f"{ADDRESS}/health", timeout=5).close()  # noqa: S310
        except (urllib.error.URLError, OSError):
            time.sleep(2)
        else:
            return
    sys.exit("vLLM did not answer in time.")


def main() -> None:
    python = Path(sys.argv[1])
    model = Path(sys.argv[2]) if len(sys.argv) > 2 else shipped_folder()
    texts = [json.loads(line)["question"] for line in QUESTIONS.read_text(encoding="utf-8").splitlines()]
    config = read_config(model)
    plain = replace(config, prompt=replace(config.prompt, spelling="none"))
    scorer = load_model(model, compute=Compute("cpu", "float32", "pytorch"), config=plain).scorer
    own = apply_temperature(scorer.score(scorer.encode(list(map(Question, texts)))).log_probs, config.temperature)
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "exported"
        export_model(model, folder, "transformers")
        command = [str(python.with_name("vllm")), "serve", str(folder), "--runner", "pooling", "--dtype", "bfloat16"]
        server = subprocess.Popen([*command, "--max-model-len", "2048", "--port", ADDRESS.rpartition(":")[2]])
        try:
            wait_for(server)
            start = time.monotonic()
            answers = post("/classify", {"model": str(folder), "input": texts})["data"]
            seconds = time.monotonic() - start
        finally:
            server.terminate()
            server.wait(60)
    served = np.array([answer["probs"] for answer in answers])  # [questions, labels]
    equal = float((served.argmax(axis=1) == own.argmax(axis=1)).mean())
    print(
        f"{len(texts)} questions, {len(texts) / seconds:.1f} per second: {100 * equal:.2f} % of the labels are equal, "
        f"largest gap {np.abs(served - own).max():.2g}"
    )
    if equal < ENOUGH:
        sys.exit("The answers differ.")


if __name__ == "__main__":
    main()
