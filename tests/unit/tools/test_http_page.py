"""docs/reference/http.md as it is written."""

from __future__ import annotations

from http_page import description, page


def test_every_path_has_a_section() -> None:
    text = page()
    for path, methods in description()["paths"].items():
        for method in methods:
            assert f"## {method.upper()} {path}\n" in text


def test_fields_have_types_and_defaults_and_refusals_a_reason() -> None:
    text = page()
    assert "| `multi_label` | true or false | Several labels where the model is unsure. Default: `false`. |" in text
    assert "| `questions` | list of text or {`text`, `options`} | Required. |" in text
    assert "| 429 | Too much is waiting already" in text and "Refused with 401." in text
