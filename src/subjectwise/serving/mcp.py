"""The classifier as tools of the Model Context Protocol. Knows no HTTP routes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

from subjectwise.serving.answering import answer_questions
from subjectwise.serving.error_responses import Refusal
from subjectwise.serving.loaded_model import LoadedModel
from subjectwise.serving.request_questions import QuestionText, read_questions
from subjectwise.serving.request_queue import RequestQueue
from subjectwise.types import JsonObject

_INSTRUCTIONS = "Classifies questions by subject. list_categories lists the subjects."


def create_server(model: LoadedModel) -> MCPServer[None]:
    """Return a server with the tools `classify_text` and `list_categories`, as LLM routers call them."""
    queue = RequestQueue(model)

    @asynccontextmanager
    async def lifespan(server: MCPServer[None]) -> AsyncIterator[None]:
        if not queue.alive:
            queue.start()
        yield

    server: MCPServer[None] = MCPServer("subjectwise", instructions=_INSTRUCTIONS, lifespan=lifespan)

    @server.tool(structured_output=True)
    async def classify_text(text: str, with_probabilities: bool = False) -> JsonObject:
        """Name the subject of a question.

        Args:
            text: the question.
            with_probabilities: also return the probability of every subject.
        """
        try:
            answer = await answer_questions(queue, read_questions([QuestionText(text)], most=1))
        except Refusal as error:
            raise ToolError(str(error)) from error
        prediction = answer.predictions[0]
        result: JsonObject = {"class": prediction.label, "confidence": prediction.score}
        return result | {"probabilities": prediction.scores} if with_probabilities else result

    @server.tool(structured_output=True)
    async def list_categories() -> JsonObject:
        """List the subjects that a question may belong to, with a description of each where it has one."""
        labels = model.labels
        return {
            "categories": list(labels),
            "category_descriptions": {name: labels.descriptions.get(name, "") for name in labels},
        }

    return server
