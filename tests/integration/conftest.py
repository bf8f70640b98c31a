"""Fixtures of the tests of the page; a module of them has its own `server`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from helpers.browser import open_chromium, open_page
from helpers.serve_process import Process


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with open_chromium() as found:
        yield found


@pytest.fixture
def page(browser: Any, server: Process) -> Iterator[Any]:
    with open_page(browser, server) as found:
        yield found
