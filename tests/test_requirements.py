"""A test whose requirement is missing is skipped on a desk, and fails where CI is set."""

from __future__ import annotations

import pytest

from helpers.requirements import REQUIREMENTS, check_requirements


@pytest.fixture
def missing(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(REQUIREMENTS, "moon", (lambda: False, "there is no moon"))
    return "moon"


def test_a_missing_requirement_skips(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no moon"):
        check_requirements([missing])


def test_a_missing_requirement_fails_in_ci(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "1")
    with pytest.raises(pytest.fail.Exception, match="no moon"):
        check_requirements([missing])


def test_a_present_requirement_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "1")
    monkeypatch.setitem(REQUIREMENTS, "sun", (lambda: True, ""))
    check_requirements(["sun"])
