"""The documents: every command and piece of code in them is sound, and those of the site's own pages are run."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from helpers.serving import serving_fake
from helpers.snippets import RUN, own_arguments, prints, read_blocks, reader, shell_commands
from helpers.tiny_models import needs_base
from subjectwise.classifier import Classifier
from subjectwise.cli.all_commands import app

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
# What was written once and is not changed later.
HISTORY = ("docs/log.md", "docs/decisions/")
# Made of the commands' own usage lines.
USAGE = "docs/cli.md"
PAGES = ["README.md", "CONTRIBUTING.md", *(path.relative_to(ROOT).as_posix() for path in sorted(DOCS.rglob("*.md")))]
PAGES = [page for page in PAGES if not page.startswith((*HISTORY, USAGE))]
# Pages whose blocks are run from the top.
FOLDERS = ("docs/README.md", "docs/start/", "docs/tutorials/", "docs/how-to/", "docs/reference/")
RUN_PAGES = ["README.md", *(page for page in PAGES if page.startswith(FOLDERS))]
RUN_PAGES = [page for page in RUN_PAGES if {block.language for block in read_blocks(ROOT / page)} & set(RUN)]


def parse(arguments: list[str]) -> None:
    """Parse a command without running it; raises a usage error as the command line has it."""
    command: Any = typer.main.get_command(app)
    context = command.make_context("subjectwise", list(arguments))
    while hasattr(command, "resolve_command"):
        name, command, arguments = command.resolve_command(context, arguments)
        context = command.make_context(name, list(arguments), parent=context)


def test_an_unknown_option_and_a_missing_one_are_seen() -> None:
    parse(["data", "split", "--output", "split"])
    for wrong in (["classify", "--colour", "x"], ["data", "split"], ["clasify", "x"]):
        with pytest.raises(Exception, match=r"No such|Missing parameter"):
            parse(wrong)


@pytest.mark.parametrize("page", PAGES)
def test_the_code_of_a_page_is_sound(page: str) -> None:
    for block in read_blocks(ROOT / page):
        if block.language == "python":
            compile(block.code, f"{page}, line {block.line}", "exec")
        elif block.language == "yaml":
            yaml.safe_load(block.code)
        elif block.language == "json" and "…" not in block.code:
            json.loads(block.code)
        elif block.language in ("sh", "console"):
            for command in shell_commands(block.code):
                for part in command.split(" | "):
                    arguments = own_arguments(part)
                    if arguments is not None:
                        try:
                            parse(arguments)
                        except typer.Exit:
                            pass
                        except Exception as error:
                            raise AssertionError(f"{page}, line {block.line}: {part}: {error}") from error


load = Classifier.from_pretrained


@cache
def _shipped(**options: Any) -> Classifier:
    return load(**options)


def _load_once(name: str | Path | None = None, **options: Any) -> Classifier:
    return _shipped(**options) if name is None else load(name, **options)


@pytest.fixture
def loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Load the shipped model once for all commands and pages; let huggingface_hub ask servers of this machine."""
    monkeypatch.setattr(Classifier, "from_pretrained", _load_once)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)


@contextmanager
def _asked(page: str) -> Iterator[str]:
    """Serve a fake for the pages whose commands ask `$SERVER`, and yield its address; "" for the others."""
    if "$SERVER" not in (ROOT / page).read_text(encoding="utf-8"):
        yield ""
        return
    with serving_fake() as client:
        yield str(client.base_url).rstrip("/")


@needs_base
@pytest.mark.slow
@pytest.mark.usefixtures("loaded_once")
@pytest.mark.parametrize("page", RUN_PAGES)
def test_the_code_of_a_page_runs(page: str, tmp_path: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for file in (ROOT / "examples" / "support_requests").iterdir():
        shutil.copy(file, tmp_path)
    monkeypatch.chdir(tmp_path)
    short = ["--base", str(tiny_base), "--set", "training.epochs=1", "--set", "training.compile=false"]
    with reader(short) as running, _asked(page) as address:
        monkeypatch.setenv("SERVER", address)
        # The README's commands are about files that its reader has.
        languages = ("python",) if page == "README.md" else RUN
        for block in read_blocks(ROOT / page):
            if block.language in languages and not block.not_run:
                running.run(block)


def test_the_decisions_are_listed() -> None:
    text = (DOCS / "decisions" / "README.md").read_text(encoding="utf-8")
    files = [path.name for path in sorted((DOCS / "decisions").glob("0*.md"))]
    assert re.findall(r"\]\((0[\w-]+\.md)\)", text) == files


def test_output_is_compared_without_digits() -> None:
    assert prints("biology 0.809", "biology 0.7\n") and prints("a  █ 12 %\n…\nz", "a ███ 1.5 %\nb\nc\nz\n")
    assert not prints("biology 0.809", "law 0.809") and not prints("a\nb", "a")
