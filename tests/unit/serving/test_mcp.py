"""The tools, called in memory, over HTTP, and what standard input may bring."""

from __future__ import annotations

import asyncio
import io
import json
from importlib.metadata import version
from typing import Any

import httpx
import pytest
from mcp.client.client import Client

from helpers.serving import POISON, FakeClassifier, check_refused, fake_model, serving
from subjectwise.labels import MMLU_PRO_LABELS, LabelSet
from subjectwise.serving.inference_service import InferenceService
from subjectwise.serving.mcp import EncodableLines, create_http_app, create_server, encodable_line
from subjectwise.serving.server import loopback_names
from subjectwise.serving.settings import ServerSettings

KEY = "a-key-of-some-length"
INITIALIZE = {
    "jsonrpc": "2.0", "id": 1, "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}},
}  # fmt: skip
ACCEPT = {"Accept": "application/json, text/event-stream"}


def service_of(classifier: FakeClassifier | None = None, settings: ServerSettings | None = None) -> InferenceService:
    return InferenceService(lambda: fake_model(classifier), settings or ServerSettings())


def call(*calls: tuple[str, dict[str, Any]], classifier: FakeClassifier | None = None) -> list[Any]:
    """The results of calling tools, one after the other."""
    service = service_of(classifier)

    async def talk() -> list[Any]:
        async with Client(create_server(service)) as client:
            return [await client.call_tool(name, arguments) for name, arguments in calls]

    results = asyncio.run(asyncio.wait_for(talk(), 20))
    assert not service.queue.alive, "it ends with its input"
    return results


def test_a_text_is_classified() -> None:
    whole, short = call(("classify_text", {"text": "a", "with_probabilities": True}), ("classify_text", {"text": "a"}))
    answer = {"class": 0, "label": "even", "confidence": 0.75}
    assert whole.structured_content == answer | {"probabilities": [0.75, 0.25]}
    assert short.structured_content == answer


def test_the_categories_are_listed() -> None:
    [listed] = call(("list_categories", {}))
    assert listed.structured_content == {
        "categories": ["even", "odd"], "category_descriptions": {"even": "", "odd": ""},
    }  # fmt: skip


def test_the_subjects_of_mmlu_pro_have_descriptions() -> None:
    fake = FakeClassifier()
    fake.labels = LabelSet(MMLU_PRO_LABELS)
    [listed] = call(("list_categories", {}), classifier=fake)
    assert list(listed.structured_content["category_descriptions"]) == list(MMLU_PRO_LABELS)
    assert all(listed.structured_content["category_descriptions"].values())


@pytest.mark.parametrize(
    ("text", "part"),
    [(" ", "question is empty"), ("x" * 50_001, "the limit is 50,000"), (POISON, "failed at this question")],
)
def test_a_refusal_is_one_sentence_without_command_line_options(text: str, part: str) -> None:
    [refused] = call(("classify_text", {"text": text}))
    said = refused.content[0].text
    assert refused.is_error and part in said and "secret" not in said and "--" not in said


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'{"text": "caf\\u00e9"}\n', b'{"text": "caf\\u00e9"}\n'),
        (b'{"text": "half \\ud83d"}\n', '{"text": "half \ufffd"}\n'.encode()),
        (b'{"text": "\\uDE00 half"}\n', '{"text": "\ufffd half"}\n'.encode()),
        (b'{"text": "\\ud83d\\ude00"}\n', '{"text": "\U0001f600"}\n'.encode()),
        (b'{"text": "\\\\ud83d"}\n', b'{"text": "\\\\ud83d"}\n'),
        (b'{"text": "\\ud83d', b'{"text": "\\ud83d'),
        (b"", b""),
    ],
)
def test_lines_that_utf8_can_hold(line: bytes, expected: bytes) -> None:
    assert encodable_line(line) == expected


def test_standard_input_is_read_line_by_line() -> None:
    lines = [b'{"id": %d, "text": "\\ud83d"}\n' % number for number in range(3)] + [b"x" * 20_000 + b"\n"]
    stream = EncodableLines(io.BytesIO(b"".join(lines)))
    read = io.TextIOWrapper(stream, encoding="utf-8").readlines()  # type: ignore[type-var]
    assert [json.loads(line)["text"] for line in read[:3]] == ["\ufffd"] * 3
    assert read[3] == "x" * 20_000 + "\n" and len(read) == 4


def initialized(client: httpx.Client, **headers: str) -> httpx.Response:
    return client.post("/mcp", json=INITIALIZE, headers=ACCEPT | headers)


def test_over_http_with_a_key() -> None:
    app = create_http_app(service_of(settings=ServerSettings(api_keys=(KEY,))), "127.0.0.1")
    with serving(app) as client:
        assert client.get("/health").status_code == client.head("/health").status_code == 200
        check_refused(initialized(client), 401)
        response = initialized(client, **{"X-API-Key": KEY, "Host": "proxy.example"})
        assert response.status_code == 200
        [data] = [line for line in response.text.splitlines() if line.startswith("data: {")]
        info = json.loads(data.removeprefix("data: "))["result"]["serverInfo"]
        assert info["name"] == "subjectwise" and info["version"] == version("subjectwise")


def test_over_http_without_a_key_other_hosts_and_origins_are_refused() -> None:
    app = create_http_app(service_of(settings=ServerSettings(hosts=loopback_names("127.0.0.1"))), "127.0.0.1")
    with serving(app) as client:
        assert initialized(client).status_code == 200
        check_refused(client.get("/health", headers={"Host": "rebound.example"}), 421)
        check_refused(initialized(client, Host="rebound.example"), 421)
        assert initialized(client, Origin="http://elsewhere.example").status_code == 403


def test_over_http_the_official_client_calls_the_tools() -> None:
    app = create_http_app(service_of(), "127.0.0.1")

    async def talk(url: str) -> Any:
        async with Client(url) as client:
            return await client.call_tool("classify_text", {"text": "a"})

    with serving(app) as client:
        called = asyncio.run(asyncio.wait_for(talk(f"{client.base_url}/mcp"), 20))
        assert called.structured_content == {"class": 0, "label": "even", "confidence": 0.75}
