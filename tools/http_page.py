"""Write docs/reference/http.md, or the named file: the paths of the server, from its OpenAPI description."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from subjectwise.serving.api_description import DescribedApplication, operations
from subjectwise.serving.routes import llm_router, text_embeddings_inference, v1

Schema = dict[str, Any]

_HEAD = """\
<!-- Written by `make docs` from the routes in src/subjectwise/serving/; edit those. -->
# HTTP

What `subjectwise serve` answers. A running server has the same description at `/docs` and, for machines, at
`/openapi.json`. [Serve and route](../tutorials/serve-and-route.md) shows the three contracts at work, and
[Run a server](../serving.md) has limits, keys, hosts and metrics.

The commands below write `$SERVER` for the server's address, such as `http://127.0.0.1:8000`.
"""

_REFUSALS = """\
## Refusals

A refusal is `{{"error": "one sentence", "error_type": "validation"}}`, under `/v1` with the `request_id` as well.
The error types are `validation`, `overloaded`, `backend` and `unhealthy`; at the paths of text-embeddings-inference
also its `empty` and `tokenizer`.

| status | why |
| --- | --- |
{rows}
"""


def description() -> Schema:
    """Return the OpenAPI description of all contracts, of a server with an API key."""
    app = DescribedApplication(keyed=True, title="subjectwise")
    for routes in (llm_router, text_embeddings_inference, v1):
        app.include_router(routes.router)
    return app.openapi()


def page() -> str:
    """Return the page."""
    schema = description()
    models: Schema = schema["components"]["schemas"]
    parts, reasons = [_HEAD], dict[str, str]()
    for method, path, operation in operations(schema):
        parts += _operation(models, method, path, operation)
        for status, said in _refusals(operation).items():
            reasons.setdefault(status, said)
    rows = "\n".join(f"| {status} | {reasons[status]} |" for status in sorted(reasons))
    return "\n".join([*parts, _REFUSALS.format(rows=rows)])


def _operation(models: Schema, method: str, path: str, operation: Schema) -> Iterator[str]:
    yield f"## {method} {path}\n"
    summary, described = operation["summary"], " ".join(operation.get("description", "").split())
    said = described if described.startswith(summary) else f"{summary}. {described}"
    keyed = " Needs an API key where the server has one." if "security" in operation else ""
    yield f"{said}{keyed}\n"
    body = _named(models, operation.get("requestBody", {}))
    answer = _named(models, operation["responses"].get("200", {}))
    command = f"curl $SERVER{path}" + ("" if body or method == "GET" else f" -X {method}")
    sent = [f"{command} -H 'Content-Type: application/json' \\\n  -d {shlex.quote(json.dumps(example))}"
            for example in body.get("examples", [])]  # fmt: skip
    yield "```sh\n" + "\n".join(sent or [command]) + "\n```\n"
    if body:
        yield from _fields("body", models, body)
    if answer.get("properties"):
        listed = "items" in _content(operation["responses"]["200"])
        yield from _fields("answer, a list of" if listed else "answer", models, answer)
    if "Result" in models and answer is models.get("Results"):
        yield from _fields("each of `results`", models, models["Result"])
    if refusals := _refusals(operation):
        yield f"Refused with {', '.join(sorted(refusals))}.\n"


def _refusals(operation: Schema) -> dict[str, str]:
    return {status: said.get("description", "") for status, said in operation["responses"].items() if status != "200"}


def _named(models: Schema, message: Schema) -> Schema:
    """Return the schema of a request or an answer that has a name; empty where it has none."""
    schema = _content(message)
    name = schema.get("$ref", schema.get("items", {}).get("$ref", "")).rpartition("/")[2]
    named: Schema = models.get(name, {})
    return named


def _content(message: Schema) -> Schema:
    schema: Schema = message.get("content", {}).get("application/json", {}).get("schema", {})
    return schema


def _fields(title: str, models: Schema, schema: Schema) -> Iterator[str]:
    yield f"| {title} | type | |\n| --- | --- | --- |"
    for name, field in schema["properties"].items():
        needed = title == "body" and name in schema.get("required", ())
        yield f"| `{name}` | {_type(models, field)} | {_about(field, needed)} |"
    yield ""


def _about(field: Schema, needed: bool) -> str:
    default = f"Default: `{json.dumps(field['default'])}`." if "default" in field else ""
    return " ".join(filter(None, (field.get("description", ""), "Required." if needed else default)))


def _type(models: Schema, field: Schema) -> str:
    if "anyOf" in field:
        return " or ".join(dict.fromkeys(_type(models, part) for part in field["anyOf"]))
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if "$ref" in field:
        inner = models[field["$ref"].rpartition("/")[2]].get("properties", {})
        return "{" + ", ".join(f"`{name}`" for name in inner) + "}"
    if field.get("type") == "array":
        return f"list of {_type(models, field.get('items', {}))}"
    return {"string": "text", "object": "object", "integer": "whole number", "boolean": "true or false"}.get(
        field.get("type", "object"), field.get("type", "object")
    )


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
