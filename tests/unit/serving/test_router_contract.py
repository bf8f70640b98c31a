"""What vllm-project/semantic-router's own clients expect of a domain classifier, over MCP and over HTTP."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import numpy as np
import pytest
from mcp.client.client import Client

from helpers.serving import FakeClassifier, check_refused, fake_model, serving
from subjectwise.labels import MMLU_PRO_LABELS, LabelSet
from subjectwise.serving.app import create_app
from subjectwise.serving.inference_service import InferenceService
from subjectwise.serving.mcp import create_http_app, create_server
from subjectwise.serving.settings import ServerSettings

KEY = "a-key-of-some-length"
HEADERS = {"Content-Type": "application/json", "Accept": "application/json"}
# As Go's structures of the client are written as JSON: no `jsonrpc`, no id, an empty method.
INITIALIZE = {
    "method": "",
    "params": {
        "protocolVersion": "2024-11-05", "capabilities": {"roots": {}},
        "clientInfo": {"name": "http-mcp-client", "version": "1.0.0"},
    },
}  # fmt: skip


def call_body(tool: str, **arguments: Any) -> dict[str, Any]:
    return {"method": "", "params": {"name": tool, "arguments": arguments}}


class Fourteen(FakeClassifier):
    """Most of the probability goes to the ninth label."""

    labels = LabelSet(MMLU_PRO_LABELS)

    def score(self, *arguments: Any, **options: Any) -> Any:
        from dataclasses import replace

        scored = super().score(*arguments, **options)
        row = np.full(14, 0.02)
        row[8] = 1 - 13 * 0.02
        return replace(scored, probabilities=np.tile(row, (len(scored.probabilities), 1)))


def service_of(settings: ServerSettings | None = None) -> InferenceService:
    return InferenceService(lambda: fake_model(Fourteen()), settings or ServerSettings())


def read_result(called: dict[str, Any]) -> dict[str, Any]:
    """Read the result of a tool as the client does: from the text of its first content."""
    content: dict[str, Any] = json.loads(called["content"][0]["text"])
    return content


def check_classified(result: dict[str, Any], categories: list[str]) -> None:
    assert type(result["class"]) is int and categories[result["class"]] == "law"
    assert result["confidence"] == pytest.approx(0.74)
    assert len(result["probabilities"]) == len(categories)
    assert all(type(value) is float for value in result["probabilities"])
    assert result["probabilities"][result["class"]] == max(result["probabilities"])
    assert float(np.asarray(result["probabilities"], np.float32).sum()) == pytest.approx(1, abs=0.02)


def test_the_tools_on_standard_input() -> None:
    async def talk() -> list[Any]:
        async with Client(create_server(service_of())) as client:
            asked = {"text": "What is a tort?", "with_probabilities": True}
            return [await client.call_tool("list_categories", {}), await client.call_tool("classify_text", asked)]

    listed, called = (result.model_dump(by_alias=True) for result in asyncio.run(asyncio.wait_for(talk(), 20)))
    categories = read_result(listed)
    assert categories["categories"] == list(MMLU_PRO_LABELS)
    assert set(categories["category_descriptions"]) == set(MMLU_PRO_LABELS)
    check_classified(read_result(called), categories["categories"])


def test_the_tools_by_path_without_a_session() -> None:
    with serving(create_http_app(service_of(), "127.0.0.1")) as client:

        def post(method: str, body: Any = None) -> dict[str, Any]:
            response = client.post(
                f"/mcp/{method}", headers=HEADERS, json={"method": "", "params": {}} if body is None else body
            )
            assert response.status_code == 200, response.text
            assert response.headers["Content-Type"] == "application/json"
            result: dict[str, Any] = response.json()
            return result

        assert post("initialize", INITIALIZE)["serverInfo"]["name"] == "subjectwise"
        assert {tool["name"] for tool in post("tools/list")["tools"]} == {"classify_text", "list_categories"}
        assert "nextCursor" not in post("tools/list"), "one page"
        assert all(tool["inputSchema"]["type"] == "object" for tool in post("tools/list")["tools"])
        assert post("resources/list") == {"resources": []} and post("prompts/list") == {"prompts": []}
        categories = read_result(post("tools/call", call_body("list_categories")))["categories"]
        asked = call_body("classify_text", text="What is\u0007 a tort?", with_probabilities=True)
        check_classified(read_result(post("tools/call", asked)), categories)
        assert "probabilities" not in read_result(post("tools/call", call_body("classify_text", text="a")))
        assert client.post("/mcp/ping", headers={"Accept": "application/json"}).json() == {}


def test_json_rpc_by_path_is_answered_in_its_envelope() -> None:
    with serving(create_http_app(service_of(), "127.0.0.1")) as client:
        body = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": call_body("list_categories")["params"]}
        answer = client.post("/mcp/tools/call", headers=HEADERS, json=body).json()
        assert answer["jsonrpc"] == "2.0" and answer["id"] == 7
        assert read_result(answer["result"])["categories"] == list(MMLU_PRO_LABELS)


def test_by_path_what_cannot_be_answered() -> None:
    with serving(create_http_app(service_of(), "127.0.0.1")) as client:
        empty = client.post("/mcp/tools/call", headers=HEADERS, json=call_body("classify_text", text=" ")).json()
        assert empty["isError"] and "question is empty" in empty["content"][0]["text"]
        unknown = client.post("/mcp/tools/call", headers=HEADERS, json=call_body("translate")).json()
        assert unknown["isError"]
        for content in ("{", "[]", '{"params": 1}'):
            refused = client.post("/mcp/tools/call", headers=HEADERS, content=content)
            assert refused.status_code == 400 and refused.json()["error"]["message"].endswith(".")
        assert client.post("/mcp/tools/call", headers=HEADERS, content="x" * 40_000_000).status_code == 413


def test_by_path_with_a_key() -> None:
    with serving(create_http_app(service_of(ServerSettings(api_keys=(KEY,))), "127.0.0.1")) as client:
        check_refused(client.post("/mcp/initialize", headers=HEADERS, json=INITIALIZE), 401)
        allowed = HEADERS | {"Authorization": f"Bearer {KEY}"}
        assert client.post("/mcp/initialize", headers=allowed, json=INITIALIZE).status_code == 200


@pytest.mark.parametrize("text", ["What is a tort?", "What is\u0000 a \u0007tort?", "half \ud83d", "x " * 3000])
def test_classify_over_http(text: str) -> None:
    app = create_app(lambda: fake_model(Fourteen()), ServerSettings(api_keys=(KEY,)))
    headers = HEADERS | {"Authorization": f"Bearer {KEY}"}
    with serving(app) as client:
        client.timeout = httpx.Timeout(5.0)
        check_refused(client.post("/classify", json={"inputs": text.encode("utf-8", "replace").decode()}), 401)
        response = client.post("/classify", headers=headers, content=json.dumps({"inputs": text}))
        assert 200 <= response.status_code < 300, response.text
        rows = response.json()
        assert sorted(row["label"] for row in rows) == sorted(MMLU_PRO_LABELS), "every label of the mapping, once"
        assert float(np.asarray([row["score"] for row in rows], np.float32).sum()) == pytest.approx(1, abs=0.02)
