"""Compiled models are made once, by one process; what is damaged is made again; the oldest are removed."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from helpers.requirements import requires_openvino
from subjectwise.engines.openvino import compiled_cache
from subjectwise.engines.openvino.compiled_cache import compiled_entry

PARTS = {"base": "a hash", "openvino": "1"}


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("SUBJECTWISE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


class Maker:
    """Writes a file of so many bytes, and counts how often."""

    def __init__(self, size: int = 300_000) -> None:
        self.size, self.calls, self.lock = size, 0, threading.Lock()

    def __call__(self, folder: Path) -> None:
        with self.lock:
            self.calls += 1
        time.sleep(0.05)
        (folder / "model.blob").write_bytes(bytes(range(256)) * (self.size // 256))


def test_an_entry_is_made_once_and_by_all_its_parts() -> None:
    make = Maker()
    folder = compiled_entry(PARTS, make)
    assert compiled_entry(dict(reversed(PARTS.items())), make) == folder and make.calls == 1
    assert (folder / "model.blob").stat().st_size == 300_000 // 256 * 256
    assert compiled_entry({**PARTS, "openvino": "2"}, make) != folder and make.calls == 2
    assert compiled_entry(PARTS, make, again=True) == folder and make.calls == 3


@pytest.mark.parametrize("damage", ["cut off", "changed", "missing", "no record", "another record"])
def test_a_damaged_entry_is_made_again(damage: str) -> None:
    make = Maker()
    folder = compiled_entry(PARTS, make)
    file, record = folder / "model.blob", folder / "entry.json"
    whole = file.read_bytes()
    if damage == "cut off":
        file.write_bytes(whole[:-1000])
    elif damage == "changed":
        file.write_bytes(bytes(len(whole)))
    elif damage == "missing":
        file.unlink()
    elif damage == "no record":
        record.write_text("[", encoding="utf-8")
    else:
        record.write_text(record.read_text(encoding="utf-8").replace("a hash", "b hash"), encoding="utf-8")
    assert compiled_entry(PARTS, make) == folder and make.calls == 2
    assert file.read_bytes() == whole
    assert compiled_entry(PARTS, make) == folder and make.calls == 2


def test_several_at_once_wait_for_one() -> None:
    make = Maker()
    with ThreadPoolExecutor(4) as pool:
        folders = set(pool.map(lambda _: compiled_entry(PARTS, make), range(4)))
    assert len(folders) == 1 and make.calls == 1


def test_what_fails_leaves_nothing(cache: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").write_text("half", encoding="utf-8")
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        compiled_entry(PARTS, fail)
    assert [path for path in (cache / "compiled").iterdir() if path.suffix != ".lock"] == []


def test_the_oldest_are_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled_cache, "MOST_BYTES", 700_000)
    folders = []
    for number in range(3):
        folders.append(compiled_entry({"number": str(number)}, Maker()))
        os.utime(folders[-1] / "entry.json", (number, number))
    assert [folder.exists() for folder in folders] == [False, True, True]
    compiled_entry({"number": "1"}, Maker())  # used again
    compiled_entry({"number": "3"}, Maker())
    assert [folder.exists() for folder in folders] == [False, True, False]


def test_a_cache_that_cannot_be_written_is_replaced_for_this_process(cache: Path) -> None:
    cache.write_text("a file where the folder should be", encoding="utf-8")
    make = Maker()
    folder = compiled_entry(PARTS, make)
    assert (folder / "model.blob").is_file() and compiled_entry(PARTS, make) == folder and make.calls == 1
    compiled_cache._temporary.clear()  # noqa: SLF001


@requires_openvino
def test_a_model_is_read_back_or_made_again(tiny_base: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from subjectwise.engines.openvino import compiled_decoder
    from subjectwise.models.compiled_base import load_compiled_base

    load_compiled_base(str(tiny_base))
    blobs = sorted((cache / "compiled").rglob("*.blob"))
    assert [blob.name for blob in blobs] in (["decoder.blob", "output_head.blob"], ["output_head.blob", "decoder.blob"])
    with monkeypatch.context() as patched:
        patched.setattr(compiled_decoder, "decoder_graph", lambda *_: pytest.fail("compiled again"))
        load_compiled_base(str(tiny_base))
    # Of the size and the record of a whole entry, but not a compiled model.
    for blob in blobs:
        blob.write_bytes(bytes(len(blob.read_bytes())))
        text = (blob.parent / "entry.json").read_text(encoding="utf-8")
        compiled_cache._write_info(blob.parent, __import__("json").loads(text)["parts"])  # noqa: SLF001
    load_compiled_base(str(tiny_base))
    assert all(any(blob.read_bytes()) for blob in blobs)
