"""The classifier as tools of the Model Context Protocol. Knows no HTTP routes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

from subjectwise.errors import QuestionError
from subjectwise.records import Question
from subjectwise.serving.error_responses import Refusal
from subjectwise.serving.loaded_model import ServedModel
from subjectwise.serving.request_queue import RequestQueue

_INSTRUCTIONS = "Tells which subject a question belongs to. list_categories has the subjects that there are."


def create_server(served: ServedModel) -> MCPServer[None]:
    """A server with the tools `classify_text` and `list_categories`, as LLM routers call them."""
    batcher = RequestQueue(served)

    @asynccontextmanager
    async def lifespan(server: MCPServer[None]) -> AsyncIterator[None]:
        if not batcher.alive:
            batcher.start()
        yield

    server: MCPServer[None] = MCPServer("subjectwise", instructions=_INSTRUCTIONS, lifespan=lifespan)

    @server.tool(structured_output=True)
    async def classify_text(text: str, with_probabilities: bool = False) -> dict[str, Any]:
        """Name the subject of a question.

        Args:
            text: the question.
            with_probabilities: give the probability of every subject too.
        """
        try:
            answer = await batcher.submit([Question(text)])
        except (QuestionError, Refusal) as error:
            raise ToolError(str(error)) from error
        found = answer.predictions[0]
        result: dict[str, Any] = {"class": found.label, "confidence": found.score}
        return result | {"probabilities": found.scores} if with_probabilities else result

    @server.tool(structured_output=True)
    async def list_categories() -> dict[str, Any]:
        """The subjects that a question may belong to, and a description of each where there is one."""
        labels = served.labels
        return {
            "categories": list(labels),
            "category_descriptions": {name: labels.descriptions.get(name, "") for name in labels},
        }

    return server
