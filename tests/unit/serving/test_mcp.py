from __future__ import annotations

import asyncio
from typing import Any

import pytest
from mcp.client.client import Client

from helpers.serving import POISON, fake_model
from subjectwise.serving.mcp import create_server


def call(*calls: tuple[str, dict[str, Any]]) -> list[Any]:
    """The results of calling tools, one after the other."""

    async def talk() -> list[Any]:
        async with Client(create_server(fake_model())) as client:
            return [await client.call_tool(name, arguments) for name, arguments in calls]

    return asyncio.run(asyncio.wait_for(talk(), 20))


def test_a_text_is_classified() -> None:
    whole, short = call(("classify_text", {"text": "a", "with_probabilities": True}), ("classify_text", {"text": "a"}))
    assert whole.structured_content == {
        "class": "even", "confidence": 0.75, "probabilities": {"even": 0.75, "odd": 0.25},
    }  # fmt: skip
    assert short.structured_content == {"class": "even", "confidence": 0.75}


def test_the_categories_are_listed() -> None:
    [listed] = call(("list_categories", {}))
    assert listed.structured_content["categories"] == ["even", "odd"]
    assert set(listed.structured_content["category_descriptions"]) == {"even", "odd"}


@pytest.mark.parametrize(("text", "part"), [(" ", "question is empty"), (POISON, "failed at this question")])
def test_a_refusal_is_one_sentence(text: str, part: str) -> None:
    [refused] = call(("classify_text", {"text": text}))
    assert refused.is_error and part in refused.content[0].text and "secret" not in refused.content[0].text
