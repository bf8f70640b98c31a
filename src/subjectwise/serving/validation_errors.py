"""One sentence for a body that does not have the form of its contract, without what the client sent."""

from __future__ import annotations

from collections.abc import Sequence

from subjectwise.serving.error_responses import TEI_PATHS
from subjectwise.types import JsonObject


def validation_sentence(path: str, errors: Sequence[JsonObject], body: object = None) -> str:
    """Return a sentence for the first of pydantic's errors.

    Args:
        path: of the request.
        errors: as FastAPI reports them.
        body: of the request, as JSON.
    """
    error = errors[0]
    location = [part for part in error["loc"][1:] if isinstance(part, int) or part.isidentifier()]
    if error["type"] == "json_invalid":
        return "The body is not JSON."
    if not location:
        return "The body must be a JSON object, sent as application/json."
    name = ".".join(map(str, location))[:60]
    if path == "/classify" and name == "inputs" and isinstance(body, dict) and "input" in body:
        return (
            'This is a body of vLLM, whose /classify is another contract; send {"inputs": TEXT}, or several questions '
            "to /v1/classify."
        )
    if error["type"] == "missing" and len(location) == 1:
        return f"The field {name} is missing."
    if path in TEI_PATHS and location[0] == "inputs":
        return (
            "The field inputs must be a text, a list with one text, or a list of such lists: this model reads no pairs."
        )
    if location[0] == "questions" and len(location) > 1 and isinstance(location[1], int):
        return f"Question {location[1] + 1} must be a text, or an object with a text and at most 64 options."
    if error["type"] == "extra_forbidden":
        return f"The field {name} is unknown; leave it out."
    message = str(error["msg"])
    return f"The field {name} cannot be used: {message[:1].lower()}{message[1:]}."
