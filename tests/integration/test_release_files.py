"""The files of a release agree: versions, dates, the tested Pythons, the pinned hooks; the notes of a release exist."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def read_yaml(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def test_the_newest_version_is_the_same_everywhere() -> None:
    versions = re.findall(r"^## \[(.+?)\](?: - (\d{4}-\d{2}-\d{2}))?$", CHANGELOG, flags=re.MULTILINE)
    assert versions[0] == ("Unreleased", "") and len(versions) == CHANGELOG.count("\n## ")
    newest, date = versions[1]
    assert all(date for _, date in versions[1:]), "every release has its date"
    assert [date for _, date in versions[1:]] == sorted((date for _, date in versions[1:]), reverse=True)
    assert PROJECT["tool"]["hatch"]["version"]["fallback-version"] == newest
    citation = read_yaml("CITATION.cff")
    assert (citation["version"], citation["date-released"], citation["license"]) == (
        newest,
        date,
        PROJECT["project"]["license"],
    )
    assert [author["name"] for author in citation["authors"]] == [
        author["name"] for author in PROJECT["project"]["authors"]
    ]


def test_every_supported_python_is_tested() -> None:
    classifiers = "\n".join(PROJECT["project"]["classifiers"])
    supported = re.findall(r"Python :: (3\.\d+)$", classifiers, flags=re.MULTILINE)
    matrix = read_yaml(".github/workflows/ci.yml")["jobs"]["test"]["strategy"]["matrix"]
    assert matrix["python"] == supported
    assert PROJECT["project"]["requires-python"] == f">={supported[0]}"


def test_workflows_call_targets_that_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    called = set()
    for path in (ROOT / ".github/workflows").glob("*.yml"):
        workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert workflow["permissions"] == {"contents": "read"}, "more is given to single jobs alone"
        for job in workflow["jobs"].values():
            assert job["timeout-minutes"] and {step.get("shell") for step in job["steps"]} == {None}
            called |= set(re.findall(r"^make ([a-z-]+)", "\n".join(step.get("run", "") for step in job["steps"]), re.M))
    assert {"check", "docs", "lowest", "test", "test-all", "wheel-test"} <= called <= targets


def test_the_release_publishes_what_was_tested_and_without_a_stored_token() -> None:
    jobs = read_yaml(".github/workflows/release.yml")["jobs"]
    assert jobs["publish"]["needs"] == "build" and jobs["publish"]["permissions"] == {"id-token": "write"}
    assert "secrets." not in (ROOT / ".github/workflows/release.yml").read_text(encoding="utf-8")


def test_hooks_are_pinned() -> None:
    hooks = {repo["repo"].rpartition("/")[2]: repo.get("rev") for repo in read_yaml(".pre-commit-config.yaml")["repos"]}
    assert all(re.fullmatch(r"v?\d+\.\d+\.\d+", rev) for name, rev in hooks.items() if name != "local")
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert f"\nruff=={hooks['ruff-pre-commit'].removeprefix('v')}\n" in constraints


def test_templates_of_issues_ask_for_something() -> None:
    templates = [path for path in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml"]
    assert len(templates) == 3
    for path in templates:
        template = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert template["name"] and template["description"]
        assert any(field.get("validations", {}).get("required") for field in template["body"])
