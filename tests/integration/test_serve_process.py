"""`subjectwise serve` and `subjectwise mcp` as processes: started, reloaded, stopped under load, asked by a client."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

import httpx
import pytest

from helpers.commands import refused
from helpers.serve_process import COMMAND, OWN, running
from helpers.tiny_models import make_rows
from subjectwise.classifier import Classifier


class Load:
    """Clients that ask without a pause until they are stopped or the server is gone."""

    def __init__(self, url: str, clients: int) -> None:
        self.url = url
        self.sent = 0
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


def test_the_key_comes_from_the_environment(tiny_model: Path, tmp_path: Path) -> None:
    key = "a-key-of-some-length"
    with running("--model", tiny_model, environment={"SUBJECTWISE_API_KEY": key}) as server:
        assert server.url.startswith("http://127.0.0.1:")
        assert httpx.get(f"{server.url}/health").status_code == 200
        assert httpx.post(f"{server.url}/v1/reload").status_code == 401
        assert httpx.post(f"{server.url}/v1/reload", headers={"X-API-Key": key}, timeout=30).status_code == 200
        port = server.url.rpartition(":")[2]
        refused("serve", "--model", tiny_model, *OWN, "--port", port, part="Cannot bind")
    refused("serve", "--model", tiny_model / "none", *OWN, "--port", "0", part="Unknown model")
    refused("serve", "--api-key", "short", "--port", "0", part="at least 8 characters")
    (tmp_path / "own.yaml").write_text("labels: [refund, delivery]\n")
    for command in (("serve", "--port", "0"), ("mcp",)):
        refused(*command, "--model", tiny_model, "--labels", tmp_path / "own.yaml", part="trained on other labels")
    refused("serve", "--deadline", "0", "--port", "0", part="--deadline is 0")


def test_a_missing_extra_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    for command, library in (("serve", "fastapi"), ("mcp", "mcp.server")):
        for name in [name for name in sys.modules if name.startswith("subjectwise.serving")]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, library, None)
        refused(command, part="pip install 'subjectwise[serve]'")


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
            assert result["class"] == expected[question]
            assert sum(result["probabilities"].values()) == pytest.approx(1)
            assert result["confidence"] == max(result["probabilities"].values())
            short = (await client.call_tool("classify_text", {"text": question})).structured_content
            assert set(short) == {"class", "confidence"}
            categories = (await client.call_tool("list_categories", {})).structured_content
            assert categories["categories"] == sorted(set(expected.values()))
            assert set(categories["category_descriptions"]) == set(categories["categories"])
            bad = await client.call_tool("classify_text", {"text": " "})
            assert bad.is_error and "question is empty" in str(bad.content[0])

    with (tmp_path / "log").open("w") as log:
        asyncio.run(asyncio.wait_for(talk(log), 60))
