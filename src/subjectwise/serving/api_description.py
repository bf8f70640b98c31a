"""The OpenAPI description of the server, and the page at `/docs` that shows it without JavaScript or network."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from html import escape
from pathlib import Path
from string import Template

from fastapi import FastAPI

from subjectwise.serving.middleware.api_key import needs_key
from subjectwise.types import JsonObject

_TEMPLATE = Path(__file__).parent / "page" / "docs.html"

_SCHEMES: JsonObject = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}


class DescribedApplication(FastAPI):
    """An application whose description says which paths need an API key.

    Args:
        keyed: whether the server has API keys.
        options: as FastAPI has them.
    """

    def __init__(self, keyed: bool, **options: object) -> None:
        super().__init__(docs_url=None, redoc_url=None, **options)  # type: ignore[arg-type]
        self._keyed = keyed

    def openapi(self) -> JsonObject:
        """Return the description."""
        if self.openapi_schema is None:
            schema: JsonObject = super().openapi()
            if self._keyed:
                schema.setdefault("components", {})["securitySchemes"] = _SCHEMES
                for method, path, operation in operations(schema):
                    if needs_key(path, method):
                        operation["security"] = [{name: []} for name in _SCHEMES]
        described: JsonObject = self.openapi_schema or {}
        return described


def operations(schema: JsonObject) -> Iterator[tuple[str, str, JsonObject]]:
    """Yield method, path and description of each operation."""
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def documentation_page(schema: JsonObject) -> str:
    """Return the page of a description."""
    sections = "\n".join(_section(schema, *operation) for operation in operations(schema))
    template = Template(_TEMPLATE.read_text(encoding="utf-8"))
    return template.substitute(
        title=escape(schema["info"]["title"]), description=escape(schema["info"]["description"]), sections=sections
    )


def _section(schema: JsonObject, method: str, path: str, operation: JsonObject) -> str:
    parts = [f"<h2><code>{method} {escape(path)}</code> {escape(operation.get('summary', ''))}</h2>"]
    parts.append(f"<p>{escape(operation.get('description', ''))}</p>")
    if "security" in operation:
        parts.append("<p>Needs an API key.</p>")
    body = _body_schema(schema, operation)
    command = f"curl $SERVER{path}"
    for example in body.get("examples", [])[:2]:
        sent = f"{command} -H 'Content-Type: application/json' -d {shlex.quote(json.dumps(example))}"
        parts.append(f"<pre>{escape(sent)}</pre>")
    if not body:
        parts.append(f"<pre>{escape(command if method == 'GET' else f'{command} -X {method}')}</pre>")
    fields = "".join(_field(name, field, body) for name, field in body.get("properties", {}).items())
    if fields:
        parts.append(f"<table class='fields'><caption>Body</caption><tbody>{fields}</tbody></table>")
    statuses = "".join(
        f'<tr><th scope="row">{escape(status)}</th><td>{escape(response.get("description", ""))}</td></tr>'
        for status, response in operation["responses"].items()
    )
    parts.append(f"<table class='fields'><caption>Statuses</caption><tbody>{statuses}</tbody></table>")
    return f'<section class="card">{"".join(parts)}</section>'


def _field(name: str, field: JsonObject, body: JsonObject) -> str:
    needed = "required" if name in body.get("required", ()) else f"default {json.dumps(field.get('default'))}"
    kinds = {part.get("type", "object") for part in field.get("anyOf", [field])}
    what = f"{' or '.join(sorted(kinds))}, {needed}. {field.get('description', '')}"
    return f'<tr><th scope="row"><code>{escape(name)}</code></th><td>{escape(what)}</td></tr>'


def _body_schema(schema: JsonObject, operation: JsonObject) -> JsonObject:
    """Return the schema of the body; empty where there is none."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    name = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
    body: JsonObject = schema["components"]["schemas"].get(name, {})
    return body
