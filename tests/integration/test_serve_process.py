"""`subjectwise serve` and `subjectwise mcp` as processes: started, reloaded, stopped under load, asked by a client."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

import httpx
import pytest

import subjectwise
from helpers.commands import refused, run_command
from helpers.serve_process import COMMAND, OWN, Process, running
from helpers.tiny_models import make_rows
from subjectwise.classifier import Classifier
from subjectwise.serving.server import bind

KEY = "a-key-of-some-length"


class Load:
    """Clients that ask without a pause until they are stopped or the server is gone."""

    def __init__(self, url: str, clients: int) -> None:
        self.url = url
        self.answers: dict[str, httpx.Response] = {}
        self.failures: list[httpx.HTTPError] = []
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(clients)]
        for thread in self._threads:
            thread.start()

    def _ask(self, number: int) -> None:
        rows = make_rows()
        with httpx.Client(base_url=self.url, timeout=30) as client:
            for count in range(100_000):
                if self._stopped.is_set():
                    return
                key = f"{number}-{count}"
                asked = [rows[(number * 7 + count + step) % 96]["question"] for step in range(3)]
                try:
                    self.answers[key] = client.post(
                        "/v1/classify", json={"questions": asked}, headers={"X-Request-ID": key}
                    )
                except httpx.HTTPError as error:
                    self.failures.append(error)
                    return

    def stop(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join(40)


@pytest.fixture(scope="module")
def expected(tiny_model: Path) -> dict[str, str]:
    texts = [row["question"] for row in make_rows()]
    classifier = Classifier.from_pretrained(tiny_model, device="cpu", dtype="float32")
    return {prediction.question: prediction.label for prediction in classifier.classify(texts)}


def check(answers: Mapping[str, httpx.Response], expected: Mapping[str, str]) -> None:
    for response in answers.values():
        assert response.status_code == 200, response.text
        for result in response.json()["results"]:
            assert result["label"] == expected[result["question"]]


def not_started(*arguments: str | Path, part: str) -> None:
    """The command ends with a line of its log that says why; all of its lines are JSON."""
    finished = run_command(*arguments)
    assert finished.returncode == 1
    lines: list[dict[str, Any]] = [json.loads(line) for line in finished.stderr.splitlines()]
    assert lines[-1]["event"] == "not started" and part in lines[-1]["reason"], lines


@pytest.mark.slow
def test_sigterm_under_load_loses_nothing_accepted(tiny_model: Path, expected: Mapping[str, str]) -> None:
    with running("--model", tiny_model) as server:
        load = Load(server.url, clients=8)
        while len(load.answers) < 40:
            time.sleep(0.01)
        assert server.stop() == 0
        load.stop()
        check(load.answers, expected)
        stopped = server.wait_for("stopped")
        answered = {line["request_id"]: line["status"] for line in server.log if line["event"] == "request"}
        assert answered == dict.fromkeys(load.answers, 200), "each one that the server took has reached its client"
        assert stopped["answered_questions"] == 3 * len(load.answers)
        assert {line["event"] for line in server.log} == {"ready", "request", "stopped"}


@pytest.mark.slow
def test_reload_under_load_drops_nothing(tiny_model: Path, expected: Mapping[str, str], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_model, tmp_path / "model"))
    with running("--model", folder) as server:
        load = Load(server.url, clients=4)
        for count in (1, 2):
            server.process.send_signal(signal.SIGHUP)
            server.wait_for("reloaded", count)
        (folder / "tokenizer.json").unlink()
        server.process.send_signal(signal.SIGHUP)
        assert "lacks tokenizer.json" in server.wait_for("reload failed")["reason"]
        while len(load.answers) < 40:
            time.sleep(0.01)
        load.stop()
        assert not load.failures
        check(load.answers, expected)
        assert server.stop() == 0


def raw_connections(server: Process, *sent: bytes) -> list[socket.socket]:
    """Connections that send only that."""
    host, _, port = server.url.removeprefix("http://").partition(":")
    opened = []
    for data in sent:
        connection = socket.create_connection((host, int(port)), timeout=10)
        connection.sendall(data)
        opened.append(connection)
    return opened


@pytest.mark.slow
def test_few_descriptors_and_connections_that_say_little(tiny_model: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"{KEY}\n", encoding="utf-8")
    limited = ("/bin/sh", "-c", 'ulimit -n 128; exec "$0" "$@"')
    with running("--model", tiny_model, "--api-key-file", keys, before=limited) as server:
        assert KEY not in Path(f"/proc/{server.process.pid}/cmdline").read_text(encoding="utf-8")
        idle = raw_connections(server, *[b""] * 200)
        for _ in range(3):
            assert httpx.post(f"{server.url}/classify", json={"inputs": "a"}, timeout=30).status_code == 401
            given = {"X-API-Key": KEY}
            assert httpx.post(f"{server.url}/classify", json={"inputs": "a"}, headers=given, timeout=30).is_success
        head = b"POST /classify HTTP/1.1\r\nHost: x\r\nX-API-Key: " + KEY.encode() + b"\r\n"
        half = head + b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
        idle += raw_connections(server, b"GET", head, half)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(10) == 0, "within ten seconds, whatever is half sent"
        assert len(server.log) < 50, "the log stays quiet"
        for connection in idle:
            connection.close()


def test_the_key_comes_from_the_environment(tiny_model: Path, tmp_path: Path) -> None:
    with running("--model", tiny_model, environment={"SUBJECTWISE_API_KEY": KEY}) as server:
        assert server.url.startswith("http://127.0.0.1:")
        assert httpx.get(f"{server.url}/health").status_code == 200
        assert httpx.post(f"{server.url}/v1/reload").status_code == 401
        assert httpx.post(f"{server.url}/v1/reload", headers={"X-API-Key": KEY}, timeout=30).status_code == 200


def test_what_cannot_be_served_is_said_in_one_line(tiny_model: Path, tmp_path: Path) -> None:
    with bind("127.0.0.1", 0) as taken:
        taken.listen()
        port = str(taken.getsockname()[1])
        for command in (("serve",), ("mcp", "--http")):
            # Before the model is loaded, which would fail as well.
            not_started(*command, "--model", tmp_path / "none", "--port", port, part=f"Cannot bind 127.0.0.1:{port}")
    free = ("--port", "0")
    not_started("serve", "--model", tiny_model / "none", *OWN, *free, part="Unknown model")
    not_started("serve", "--api-key", "short", *free, part="at least 8 characters")
    not_started("serve", "--api-key-file", tmp_path / "none", *free, part="No such file")
    not_started("mcp", "--http", "--api-key", "short", *free, part="at least 8 characters")
    not_started("serve", "--deadline", "0", *free, part="--deadline is 0")
    not_started("serve", "--cors-origin", "good.example/", *free, part="browsers send https://good.example")
    (tmp_path / "own.yaml").write_text("labels: [refund, delivery]\n")
    for start in (("serve", *free), ("mcp",)):
        own = ("--labels", tmp_path / "own.yaml")
        not_started(*start, "--model", tiny_model, *own, part="trained on other labels")


def test_a_missing_extra_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    # An import below replaces the package's attribute as well, which has to come back with the modules.
    monkeypatch.setattr(subjectwise, "serving", sys.modules["subjectwise.serving"])
    for command, library in (("serve", "fastapi"), ("mcp", "mcp.server")):
        for name in [name for name in sys.modules if name.startswith("subjectwise.serving")]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, library, None)
        refused(command, part="pip install 'subjectwise[serve]'")


@pytest.mark.slow
def test_a_first_start_logs_lines_of_json_alone(tiny_base: Path, tmp_path: Path) -> None:
    """The library that loads a base shows progress bars, and so does ours that converts one."""
    shim = tmp_path / "sitecustomize.py"
    shim.write_text(
        "import sys, builtins\n"
        "from tqdm import tqdm\n"
        "import subjectwise.predictors as predictors\n"
        "load = predictors.load_predictor\n"
        "def noisy(*arguments, **options):\n"
        "    print('to standard output'); print('a warning', file=sys.stderr)\n"
        "    for _ in tqdm(range(50), desc='Converting', mininterval=0): pass\n"
        "    return load(*arguments, **options)\n"
        "predictors.load_predictor = noisy\n",
        encoding="utf-8",
    )
    with running("--model", f"zero-shot:{tiny_base}", environment={"PYTHONPATH": str(tmp_path)}) as server:
        events = [line["event"] for line in server.log]
        assert "not JSON" not in events and events.count("output") == 3
        assert server.stop() == 0
        assert not server.process.stdout or not server.process.stdout.read()


@pytest.mark.slow
def test_an_mcp_client(tiny_model: Path, expected: Mapping[str, str], tmp_path: Path) -> None:
    from mcp.client.client import Client
    from mcp.client.stdio import StdioServerParameters, stdio_client

    question = make_rows()[0]["question"]
    arguments = [*COMMAND[1:], "mcp", "--model", str(tiny_model), *OWN]

    async def talk(log: TextIO) -> None:
        parameters = StdioServerParameters(command=COMMAND[0], args=arguments, env={"HF_HUB_OFFLINE": "1"})
        async with Client(stdio_client(parameters, errlog=log)) as client:
            assert {tool.name for tool in (await client.list_tools()).tools} == {"classify_text", "list_categories"}
            called = await client.call_tool("classify_text", {"text": question, "with_probabilities": True})
            result = called.structured_content
            assert result["label"] == expected[question]
            assert result["class"] == sorted(set(expected.values())).index(result["label"])
            assert sum(result["probabilities"]) == pytest.approx(1)
            assert result["confidence"] == max(result["probabilities"])
            short = (await client.call_tool("classify_text", {"text": question})).structured_content
            assert set(short) == {"class", "label", "confidence"}
            categories = (await client.call_tool("list_categories", {})).structured_content
            assert categories["categories"] == sorted(set(expected.values()))
            assert set(categories["category_descriptions"]) == set(categories["categories"])
            bad = await client.call_tool("classify_text", {"text": " "})
            assert bad.is_error and "question is empty" in str(bad.content[0])

    with (tmp_path / "log").open("w") as log:
        asyncio.run(asyncio.wait_for(talk(log), 60))


@pytest.mark.slow
def test_half_a_character_on_standard_input_is_answered(tiny_model: Path) -> None:
    def message(number: int, method: str, **parameters: object) -> str:
        return json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": parameters})

    client = {"name": "raw", "version": "1"}
    asked = message(2, "tools/call", name="classify_text", arguments={"text": "a photon HALF"})
    lines = [
        message(1, "initialize", protocolVersion="2025-06-18", capabilities={}, clientInfo=client),
        json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"}),
        asked.replace("HALF", "\\ud83d"),
    ]
    with Process.stdio("mcp", "--model", tiny_model) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write("".join(f"{line}\n" for line in lines))
        process.stdin.flush()
        answers = [json.loads(process.stdout.readline()) for _ in range(2)]
        assert answers[0]["result"]["serverInfo"]["version"]
        assert answers[1]["id"] == 2 and answers[1]["result"]["structuredContent"]["class"]
        process.stdin.close()
        assert process.wait(20) == 0
