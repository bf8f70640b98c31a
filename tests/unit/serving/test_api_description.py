from __future__ import annotations

from html.parser import HTMLParser

import httpx
import pytest

from helpers.serving import fake_model, serving_fake
from subjectwise.serving.api_description import documentation_page, operations
from subjectwise.serving.app import create_app
from subjectwise.serving.settings import ServerSettings

KEYED = ServerSettings(api_keys=("a-key-of-some-length",))


class Links(HTMLParser):
    """What a page loads and leads to."""

    def __init__(self) -> None:
        super().__init__()
        self.urls: list[str] = []
        self.scripts = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        self.urls += [value or "" for name, value in attrs if name in ("src", "href")]


def test_without_keys_no_path_needs_one() -> None:
    schema = create_app(fake_model).openapi()
    assert "securitySchemes" not in schema["components"]
    assert not any("security" in operation for _, _, operation in operations(schema))


def test_with_keys_the_paths_that_need_one_say_so() -> None:
    schema = create_app(fake_model, KEYED).openapi()
    assert schema["components"]["securitySchemes"]["bearer"] == {"type": "http", "scheme": "bearer"}
    needed = {(method, path): "security" in operation for method, path, operation in operations(schema)}
    assert needed["POST", "/classify"] and needed["GET", "/info"] and needed["POST", "/v1/reload"]
    assert not needed["GET", "/health"] and not needed["GET", "/metrics"]
    with serving_fake(settings=KEYED) as client:
        for (method, path), keyed in needed.items():
            assert (client.request(method, path).status_code == 401) == keyed, path


def test_the_documentation_needs_neither_network_nor_scripts() -> None:
    with serving_fake(settings=KEYED) as client:
        response = client.get("/docs")
        assert response.headers["Content-Type"].startswith("text/html")
        page = Links()
        page.feed(response.text)
        assert not page.scripts
        for url in page.urls:
            assert "//" not in url
            assert client.get(httpx.URL("/").join(url)).status_code == 200, url


@pytest.mark.parametrize("settings", [ServerSettings(), KEYED])
def test_the_documentation_shows_every_contract(settings: ServerSettings) -> None:
    schema = create_app(fake_model, settings).openapi()
    page = documentation_page(schema)
    for method, path, operation in operations(schema):
        assert f"<code>{method} {path}</code> {operation['summary']}" in page
    assert page.count("Needs an API key.") == sum("security" in operation for _, _, operation in operations(schema))
    assert "curl $SERVER/classify -H &#x27;Content-Type: application/json&#x27;" in page
    assert "min_confidence" in page and "number, default 0.0." in page


def test_what_a_description_holds_is_escaped() -> None:
    schema = create_app(fake_model).openapi()
    schema["paths"] = {"/<b>": {"get": {"summary": "<i>", "description": "<u>", "responses": {"200": {}}}}}
    page = documentation_page(schema)
    assert not any(tag in page for tag in ("<b>", "<i>", "<u>"))
