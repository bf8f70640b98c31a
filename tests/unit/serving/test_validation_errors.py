from __future__ import annotations

import pytest

from subjectwise.serving.validation_errors import validation_sentence


@pytest.mark.parametrize("body", [{"model": "m", "input": ["a"]}, {"input": "a"}])
def test_a_body_of_vllm_is_named(body: object) -> None:
    missing = {"type": "missing", "loc": ("body", "inputs"), "msg": ""}
    assert "This is a body of vLLM" in validation_sentence("/classify", [missing], body)
    assert "vLLM" not in validation_sentence("/predict", [missing], body)
    assert validation_sentence("/classify", [missing], {"text": "a"}) == "The field inputs is missing."


@pytest.mark.parametrize(
    ("path", "error", "sentence"),
    [
        ("/classify", {"type": "json_invalid", "loc": ("body", 1), "msg": ""}, "The body is not JSON."),
        ("/classify", {"type": "missing", "loc": ("body", "inputs"), "msg": ""}, "The field inputs is missing."),
        ("/classify", {"type": "dict_type", "loc": ("body",), "msg": ""}, "The body must be a JSON object"),
        ("/predict", {"type": "list_type", "loc": ("body", "inputs"), "msg": ""}, "reads no pairs"),
        ("/v1/classify", {"type": "str", "loc": ("body", "questions", 1), "msg": ""}, "Question 2 must be a text"),
        ("/v1/classify", {"type": "extra_forbidden", "loc": ("body", "x"), "msg": ""}, "The field x is unknown"),
        ("/v1/classify", {"type": "x", "loc": ("body", "a b"), "msg": "secret"}, "The body must be a JSON object"),
        ("/v1/classify", {"type": "x", "loc": ("body", "top_k"), "msg": "Too low"}, "top_k cannot be used: too low."),
    ],
)
def test_the_first_error_is_one_sentence(path: str, error: dict[str, object], sentence: str) -> None:
    assert sentence in validation_sentence(path, [error, {"type": "other", "loc": (), "msg": ""}])
