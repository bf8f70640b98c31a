"""The metadata of GGUF files, as the gguf library writes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from subjectwise.errors import BaseModelError
from subjectwise.models.gguf_metadata import metadata_value, read_metadata


@pytest.fixture
def file(tmp_path: Path) -> Path:
    from gguf import GGUFWriter

    path = tmp_path / "some.gguf"
    writer = GGUFWriter(path, "llama")
    writer.add_uint32("llama.block_count", 30)
    writer.add_float32("llama.rope.freq_base", 0.5)
    writer.add_bool("tokenizer.ggml.add_bos_token", True)
    writer.add_int64("some.int64", -(2**40))
    writer.add_array("some.texts", ["a", "\u00e9", ""])
    writer.add_array("some.numbers", [1, 2, 3])
    writer.add_string("some.text", "\u5149")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return path


def test_every_kind_of_value(file: Path) -> None:
    metadata = read_metadata(file)
    assert metadata["general.architecture"] == "llama"
    assert metadata["llama.block_count"] == 30
    assert metadata["llama.rope.freq_base"] == 0.5
    assert metadata["tokenizer.ggml.add_bos_token"] is True
    assert metadata["some.int64"] == -(2**40)
    assert metadata["some.texts"] == ["a", "\u00e9", ""]
    assert metadata["some.numbers"] == [1, 2, 3]
    assert metadata["some.text"] == "\u5149"


def test_a_value_of_another_kind_is_refused(file: Path) -> None:
    metadata = read_metadata(file)
    assert metadata_value(metadata, "some.texts", list, file) == ["a", "\u00e9", ""]
    for key in ("some.text", "missing"):
        with pytest.raises(BaseModelError, match=f"lacks {key}"):
            metadata_value(metadata, key, list, file)


@pytest.mark.parametrize("size", [0, 3, 20, 100, 200])
def test_a_file_that_ends_early_is_refused(file: Path, size: int) -> None:
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(BaseModelError, match="as GGUF"):
        read_metadata(file)


def test_another_file_is_refused(file: Path) -> None:
    file.write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(BaseModelError, match="is not a GGUF file"):
        read_metadata(file)
    with pytest.raises(BaseModelError, match="FileNotFoundError"):
        read_metadata(file.with_name("missing.gguf"))
