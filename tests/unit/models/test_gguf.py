"""GGUF files are converted once, whole or not at all."""

from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path
from typing import Any

import pytest

from subjectwise.errors import BaseModelError, OutputError
from subjectwise.models.base_model import load_base
from subjectwise.models.gguf import converted_gguf
from subjectwise.utils.atomic_files import file_sha256
from subjectwise.utils.cache_folder import cache_folder


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SUBJECTWISE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_cache_folder_may_be_set(cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache_folder() == cache
    monkeypatch.delenv("SUBJECTWISE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "subjectwise"


def test_nothing_half_converted_is_kept(cache: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF but not really")
    with pytest.raises(BaseModelError, match="Cannot load the base"):
        load_base(str(path))
    assert not list(cache.rglob("config.json"))


class FakeModel:
    """Stands for a model that was read from GGUF: saving it takes a moment, and its configuration is written last."""

    def __init__(self, made: list[int]) -> None:
        self.made = made

    def save_pretrained(self, folder: Path) -> None:
        self.made.append(os.getpid())
        (folder / "model.safetensors").write_bytes(b"weights" * 1000)
        time.sleep(0.005)
        (folder / "config.json").write_text("{}")


class FakeTokenizer:
    def save_pretrained(self, folder: Path) -> None:
        (folder / "tokenizer.json").write_text("{}")


def use_fakes(monkeypatch: pytest.MonkeyPatch, made: list[int]) -> None:
    """Have transformers read any file."""
    import transformers

    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", lambda *args, **options: FakeModel(made))
    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", lambda *args, **options: FakeTokenizer())


def test_it_is_converted_once(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = list[int]()
    use_fakes(monkeypatch, made)
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF")
    first, again = converted_gguf(path), converted_gguf(path)
    assert first == again == (cache / "bases" / file_sha256(path)[:16], file_sha256(path))
    assert len(made) == 1
    assert sorted(file.name for file in first[0].iterdir()) == ["config.json", "model.safetensors", "tokenizer.json"]


def convert_many(folder: Path, rounds: int, barrier: Any, results: Any) -> None:
    made, failures = list[int](), list[str]()
    with pytest.MonkeyPatch.context() as patched:
        use_fakes(patched, made)
        patched.setenv("SUBJECTWISE_CACHE", str(folder / "cache"))
        for number in range(rounds):
            barrier.wait(60)
            try:
                copy, _ = converted_gguf(folder / f"{number}.gguf")
                assert (copy / "config.json").read_text() == "{}" and (copy / "tokenizer.json").read_text() == "{}"
                assert len((copy / "model.safetensors").read_bytes()) == 7000
            except Exception as error:
                failures.append(f"{type(error).__name__}: {error}")
    results.put((len(made), failures))


def test_processes_that_need_it_at_once_make_it_once_and_all_read_it(tmp_path: Path) -> None:
    import transformers

    assert transformers.AutoModelForCausalLM and transformers.AutoTokenizer  # imported before the fork
    rounds, count, context = 50, 3, multiprocessing.get_context("fork")
    for number in range(rounds):
        (tmp_path / f"{number}.gguf").write_bytes(f"GGUF {number}".encode())
    barrier, results = context.Barrier(count), context.Queue()
    processes = [context.Process(target=convert_many, args=(tmp_path, rounds, barrier, results)) for _ in range(count)]
    for process in processes:
        process.start()
    outcomes = [results.get(timeout=120) for _ in processes]
    for process in processes:
        process.join(60)
    assert [failures for _, failures in outcomes] == [[]] * count
    assert sum(made for made, _ in outcomes) == rounds, "each file is converted by one process"


def test_a_copy_that_is_incomplete_is_not_replaced(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_fakes(monkeypatch, [])
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF")
    folder = cache / "bases" / file_sha256(path)[:16]
    folder.mkdir(parents=True)
    (folder / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="already exists; .* The cache folder can be set with SUBJECTWISE_CACHE"):
        converted_gguf(path)
    assert (folder / "mine.txt").read_text() == "mine"


def test_a_cache_that_cannot_be_written_is_one_sentence(cache: Path, tmp_path: Path) -> None:
    cache.write_text("a file in the way")
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF")
    with pytest.raises(OutputError, match="Cannot write .* The cache folder can be set with SUBJECTWISE_CACHE"):
        converted_gguf(path)


def test_another_file_than_expected_is_refused(cache: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF")
    with pytest.raises(BaseModelError, match="is damaged or another file"):
        converted_gguf(path, "0" * 64)
