"""What some tests need beyond the package: they are skipped where it is missing, and fail where CI=1.

A test names it by a marker, and `conftest.py` has the hook:

    @requires_browser
    def test_the_page() -> None: ...
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def find_browser() -> str | None:
    """Return the path of an installed browser that playwright can drive."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def _installed(*modules: str) -> bool:
    return all(find_spec(module) is not None for module in modules)


# name: (whether it is present, what to do where it is not)
REQUIREMENTS: dict[str, tuple[Callable[[], bool], str]] = {
    "bitsandbytes": (
        lambda: _installed("bitsandbytes"),
        "bitsandbytes is not installed; run: pip install --constraint constraints.txt bitsandbytes",
    ),
    "browser": (
        lambda: find_browser() is not None and _installed("playwright", "axe_playwright_python"),
        "Chromium, playwright or axe-playwright-python is not installed; see CONTRIBUTING.md",
    ),
    "hadolint": (
        lambda: Path(sys.executable).with_name("hadolint").is_file(),
        "hadolint is not installed; run make install",
    ),
    "openvino": (lambda: _installed("openvino"), "OpenVINO is not installed; run make install"),
}

requires_bitsandbytes = pytest.mark.requires("bitsandbytes")
requires_browser = pytest.mark.requires("browser")
requires_hadolint = pytest.mark.requires("hadolint")
requires_openvino = pytest.mark.requires("openvino")


def check_requirements(names: list[str]) -> None:
    """Skip the running test where a requirement is missing, or fail it where CI=1, which promises all of them."""
    for name in names:
        present, advice = REQUIREMENTS[name]
        if not present():
            if os.environ.get("CI") in ("1", "true"):
                pytest.fail(f"{advice} (CI is set, so that this test must run)", pytrace=False)
            pytest.skip(advice)


# First, so that no fixture is set up for a test that will not run.
@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Check the requirements of a test before its fixtures."""
    check_requirements([str(name) for mark in item.iter_markers("requires") for name in mark.args])
