"""The Model Context Protocol with one path per method and no session, for LLM routers.

The client of vllm-project/semantic-router posts to `{url}/initialize`, `{url}/tools/list` and `{url}/tools/call`, and
reads the bare result. A body with `jsonrpc` is answered in that envelope.
"""

from __future__ import annotations

import json
from importlib.metadata import version

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from subjectwise.types import JsonObject
from subjectwise.utils.clean_text import replace_surrogates

# The version that this client speaks.
PROTOCOL_VERSION = "2024-11-05"

_METHODS = ("initialize", "ping", "tools/list", "tools/call", "resources/list", "prompts/list")

# JSON-RPC's codes of errors.
_UNREADABLE, _INVALID = -32700, -32600


def method_routes(server: MCPServer[None], path: str) -> list[Route]:
    """Return a route below `path` for each method that the client calls."""

    def route(method: str) -> Route:
        async def answer(request: Request) -> Response:
            return await _answer(server, method, await request.body())

        return Route(f"{path}/{method}", answer, methods=["POST"])

    return [route(method) for method in _METHODS]


async def _answer(server: MCPServer[None], method: str, body: bytes) -> Response:
    try:
        message = json.loads(replace_surrogates(json.dumps(json.loads(body or b"{}"), ensure_ascii=False)))
    except ValueError:
        return _error(None, _UNREADABLE, "The body is not JSON.")
    if not isinstance(message, dict) or not isinstance(message.get("params") or {}, dict):
        return _error(None, _INVALID, "The body must be an object, and its params too.")
    result = await _result(server, method, message.get("params") or {})
    if "jsonrpc" not in message:
        return JSONResponse(result)
    return JSONResponse({"jsonrpc": "2.0", "id": message.get("id"), "result": result})


async def _result(server: MCPServer[None], method: str, params: JsonObject) -> JsonObject:
    if method == "initialize":
        return {
            "protocolVersion": PROTOCOL_VERSION,
            "capabilities": {"tools": {}},
            "serverInfo": {"name": server.name, "version": version("subjectwise")},
        }
    if method == "tools/list":
        tools = [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in await server.list_tools()]
        return {"tools": tools}
    if method == "tools/call":
        try:
            arguments = params.get("arguments")
            called = await server.call_tool(str(params.get("name")), arguments if isinstance(arguments, dict) else {})
        except ToolError as error:
            return {"content": [{"type": "text", "text": str(error)}], "isError": True}
        return dict(called.model_dump(mode="json", by_alias=True, exclude_none=True))
    return {method.partition("/")[0]: []} if method.endswith("/list") else {}


def _error(identifier: object, code: int, sentence: str) -> Response:
    error = {"code": code, "message": sentence}
    return JSONResponse({"jsonrpc": "2.0", "id": identifier, "error": error}, status_code=400)
